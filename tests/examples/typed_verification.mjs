// The document's own functions; `https://your-api.com` leads to the server under test.
import { readFileSync } from 'node:fs';
import assert from 'node:assert';

const [number] = process.argv.slice(2);
const said = [];
const console = { log: (text) => said.push(text), error: (...texts) => said.push(texts.join(' ')) };
const send = globalThis.fetch;
const fetch = (url, options) => send(url.replace('https://your-api.com', `http://${process.env.OTPD}`), options);

// JavaScript/React Example
const sendOTP = async (phoneNumber) => {
  try {
    const response = await fetch('https://your-api.com/api/users/send-otp/', {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
      },
      body: JSON.stringify({
        phone: phoneNumber,
        verification_type: 'Login'
      })
    });
    
    const data = await response.json();
    console.log(data.message);
  } catch (error) {
    console.error('Error:', error);
  }
};

const verifyOTP = async (phoneNumber, otpCode) => {
  try {
    const response = await fetch('https://your-api.com/api/users/verify-otp/', {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
      },
      body: JSON.stringify({
        phone: phoneNumber,
        otp: otpCode,
        verification_type: 'Login'
      })
    });
    
    const data = await response.json();
    if (data.verified) {
      console.log('OTP verified successfully!');
      // Proceed with login/registration
    } else {
      console.error(data.message);
    }
  } catch (error) {
    console.error('Error:', error);
  }
};

await sendOTP(number);
const line = readFileSync(process.env.OUTPUT, 'utf8').split('\n').findLast((it) => it.includes(`to ${number}: `));
const code = line.match(/OTP is (\d{4})/)[1];
await verifyOTP(number, code === '0000' ? '1111' : '0000');
await verifyOTP(number, code);
assert.deepStrictEqual(said, ['OTP sent successfully', 'Invalid OTP code', 'OTP verified successfully!']);
