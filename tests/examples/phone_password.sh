#!/usr/bin/env bash
# The document of phone_password (Django, Obar): its requests are printed as HTTP, sent here by curl.
. "$(dirname "$0")/lib.sh"

example "1. Check phone and send OTP" 200 '{"exists":false,"message":"OTP sent successfully."}' <<'EOF'
curl -X POST http://localhost:8000/auth/check-phone/ -H "Content-Type: application/json" -d '{
  "phone": "09101234567"
}'
EOF
read_code +989101234567
example "2. Verify OTP" 200 '{"message":"Phone verified.","registration_token":"*"}' <<'EOF'
curl -X POST http://localhost:8000/auth/verify/ -H "Content-Type: application/json" -d '{
  "phone": "09101234567",
  "code": "1234"
}'
EOF
registration_token=$(field registration_token)
[ ${#registration_token} -eq 32 ] || { echo "FAILED  32 characters"; failed=1; }
example "3. Complete registration" 201 '{"message":"User registered successfully!","tokens":{"refresh":"eyJ*","access":"eyJ*"}}' <<'EOF'
curl -X POST http://localhost:8000/auth/register/ -H "Content-Type: application/json" -d '{
  "reg_token": "fef8702768384d1d88a2e1454e6c749c",
  "password": "123456789",
  "first_name": "Majed",
  "last_name": "Shabani",
  "email": "majedwp12@gmail.com"
}'
EOF
example "4. Login" 200 '{"message":"Login successful.","tokens":{"refresh":"eyJ*","access":"eyJ*"}}' <<'EOF'
curl -X POST http://localhost:8000/auth/login/ -H "Content-Type: application/json" -d '{
  "phone": "09101234567",
  "password": "123456789"
}'
EOF
