#!/usr/bin/env bash
# The document of auth_otp (Django, wag-tail): its requests are printed as HTTP, sent here by curl.
. "$(dirname "$0")/lib.sh"

example "Send OTP" 200 '{"message":"OTP sent successfully","phone_number":"+1234567890","expires_in_minutes":5}' <<'EOF'
curl -X POST http://localhost:8000/api/auth/send-otp/ \
  -H "Content-Type: application/json" \
  -d '{
    "phone_number": "+1234567890"
}'
EOF
read_code +1234567890
user='"id":*,"phone_number":"+1234567890","username":"+1234567890","first_name":"","last_name":"","is_phone_verified":true,"date_joined":"*Z"'
example "Verify OTP" 200 "{\"message\":\"Authentication successful\",\"user\":{$user},\"tokens\":{\"access\":\"eyJ*\",\"refresh\":\"eyJ*\"},\"is_new_user\":true}" <<'EOF'
curl -X POST http://localhost:8000/api/auth/verify-otp/ \
  -H "Content-Type: application/json" \
  -d '{
    "phone_number": "+1234567890",
    "otp_code": "123456"
}'
EOF
token=$(field access)
example "Get User Profile" 200 "{\"user\":{$user}}" <<'EOF'
curl http://localhost:8000/api/auth/profile/ \
  -H "Authorization: Bearer YOUR_JWT_TOKEN"
EOF
