#!/usr/bin/env bash
# The document of signup_login (FastAPI, Loopin): both of its flows, the second with the profile already complete.
. "$(dirname "$0")/lib.sh"

sent='{"success":true,"message":"OTP sent successfully to your phone number","data":{"phone_number":"+916205829376"},"token":null}'
example "Signup 1: send OTP" 200 "$sent" <<'EOF'
curl -X POST "http://localhost:8000/auth/signup" \
  -H "Content-Type: application/json" \
  -d '{"phone_number": "+916205829376"}'
EOF
read_code +916205829376
example "Signup 2: verify OTP" 200 '{"success":true,"message":"OTP verified successfully. Please complete your profile.","data":{"user_id":*,"phone_number":"+916205829376","needs_profile_completion":true},"token":"eyJ*"}' <<'EOF'
curl -X POST "http://localhost:8000/auth/verify-otp" \
  -H "Content-Type: application/json" \
  -d '{"phone_number": "+916205829376", "otp_code": "123456"}'
EOF
token=$(field token)
completed='{"success":true,"message":"Profile completed successfully","data":{"user_id":*,"profile_id":*,"name":"Gaurav Kumar","email":"gaurav@loopinsocial.in","phone_number":"+916205829376"},"token":null}'
example "Signup 3: complete the profile" 200 "$completed" <<'EOF'
curl -X POST "http://localhost:8000/auth/complete-profile" \
  -H "Content-Type: application/json" \
  -H "Authorization: Bearer YOUR_JWT_TOKEN" \
  -d '{"phone_number": "+916205829376", "name": "Gaurav Kumar", "email": "gaurav@loopinsocial.in"}'
EOF
example "Testing: complete the profile" 200 "$completed" <<'EOF'
curl -X POST "http://localhost:8000/auth/complete-profile" \
  -H "Content-Type: application/json" \
  -H "Authorization: Bearer YOUR_JWT_TOKEN" \
  -d '{
    "phone_number": "+916205829376",
    "name": "Gaurav Kumar",
    "email": "gaurav@loopinsocial.in",
    "bio": "Backend Developer",
    "location": "Delhi, India",
    "birth_date": "1995-01-01"
  }'
EOF
example "Signing up again" 200 '{"success":false,"message":"User already exists. Please login instead.","data":null,"token":null}' <<'EOF'
curl -X POST "http://localhost:8000/auth/signup" \
  -H "Content-Type: application/json" \
  -d '{"phone_number": "+916205829376"}'
EOF
example "Login 1: send OTP" 200 "$sent" <<'EOF'
curl -X POST "http://localhost:8000/auth/login" \
  -H "Content-Type: application/json" \
  -d '{"phone_number": "+916205829376"}'
EOF
read_code +916205829376
example "Login 2: verify OTP" 200 '{"success":true,"message":"Login successful","data":{"user_id":*,"phone_number":"+916205829376","name":"Gaurav Kumar","email":"gaurav@loopinsocial.in","is_verified":true},"token":"eyJ*"}' <<'EOF'
curl -X POST "http://localhost:8000/auth/verify-login" \
  -H "Content-Type: application/json" \
  -d '{"phone_number": "+916205829376", "otp_code": "123456"}'
EOF
token=$(field token)
example "Profile" 200 '{"*"name":"Gaurav Kumar"*"location":"Delhi, India"*}' <<'EOF'
curl "http://localhost:8000/auth/profile" \
  -H "Authorization: Bearer YOUR_JWT_TOKEN"
EOF
example "Logout" 200 '{"success":true,"message":"Logged out successfully","data":null,"token":null}' <<'EOF'
curl -X POST "http://localhost:8000/auth/logout" \
  -H "Authorization: Bearer YOUR_JWT_TOKEN"
EOF
