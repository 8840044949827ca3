#!/usr/bin/env bash
# The document of typed_verification (Django, Montana pharmacy).
. "$(dirname "$0")/lib.sh"

example "Test OTP sending" 200 '{"message":"OTP sent successfully","status":"success"}' <<'EOF'
curl -X POST http://localhost:8000/api/users/send-otp/ \
  -H "Content-Type: application/json" \
  -d '{"phone": "255694230173", "verification_type": "Login"}'
EOF
read_code +255694230173
example "Test OTP verification" 200 '{"message":"OTP verified successfully","status":"success","verified":true}' <<'EOF'
curl -X POST http://localhost:8000/api/users/verify-otp/ \
  -H "Content-Type: application/json" \
  -d '{"phone": "255694230173", "otp": "1234", "verification_type": "Login"}'
EOF
javascript "$(dirname "$0")/typed_verification.mjs" +255694230174
