#!/usr/bin/env bash
# The document of usr_otp (Django, pilito).
. "$(dirname "$0")/lib.sh"

example "Send OTP" 200 '{"phone_number":"+989123456789","message":"OTP sent successfully","expires_in":300}' <<'EOF'
curl -X POST http://localhost:8000/api/v1/usr/otp \
  -H "Content-Type: application/json" \
  -d '{"phone_number": "+989123456789"}'
EOF
read_code +989123456789
example "Verify OTP" 200 '{"access_token":"eyJ*","refresh_token":"eyJ*","is_new_user":true,"user":{"id":*,"phone_number":"+989123456789","email":"989123456789@temp.pilito.com","username":"989123456789","first_name":null,"last_name":null}}' <<'EOF'
curl -X POST http://localhost:8000/api/v1/usr/otp/verify \
  -H "Content-Type: application/json" \
  -d '{"phone_number": "+989123456789", "code": "YOUR_CODE"}'
EOF
javascript "$(dirname "$0")/usr_otp.mjs" 09123456780 +989123456780
