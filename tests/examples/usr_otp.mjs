// The document's own functions, in a page's place: its relative URLs lead to the server under test.
import { readFileSync } from 'node:fs';
import assert from 'node:assert';

const [typed, number] = process.argv.slice(2);
const send = globalThis.fetch;
const fetch = (path, options) => send(`http://${process.env.OTPD}${path}`, options);
const localStorage = new Map();
localStorage.setItem = localStorage.set;

// Send OTP
const sendOTP = async (phone) => {
  const res = await fetch('/api/v1/usr/otp', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ phone_number: phone })
  });
  return res.json();
};

// Verify OTP
const verifyOTP = async (phone, code) => {
  const res = await fetch('/api/v1/usr/otp/verify', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ phone_number: phone, code })
  });
  const data = await res.json();
  
  // Save tokens
  localStorage.setItem('access_token', data.access_token);
  localStorage.setItem('refresh_token', data.refresh_token);
  
  return data;
};

assert.deepStrictEqual(await sendOTP(typed), {
  phone_number: number, message: 'OTP sent successfully', expires_in: 300,
});
const line = readFileSync(process.env.OUTPUT, 'utf8').split('\n').findLast((it) => it.includes(`to ${number}: `));
const data = await verifyOTP(typed, line.match(/: .*?(\d{6})/)[1]);
assert.strictEqual(data.user.phone_number, number);
assert.ok(localStorage.get('access_token').split('.').length === 3 && localStorage.get('refresh_token'));
