#!/usr/bin/env bash
# Schemathesis asks a running server everything that its OpenAPI document allows, and much that it does not, and looks for
# answers of status 5xx and for statuses that the document does not have. The server has the simulated gateway (which
# never fails here: a failed send is a documented 5xx) and no limit per address (or little else would be answered).
#
# The seed is fixed, so that a run can be repeated; another one finds more. One worker: Python 3.11 stumbles over its own
# recursion count in threads ("AST constructor recursion depth mismatch").
#
#   tests/schemathesis.sh OTPD SCHEMATHESIS [SEED]
set -euo pipefail

otpd=$1
schemathesis=$2
seed=${3:-20261120}
directory=$(mktemp -d)
server=''
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$directory"' EXIT

export OTPD__STORE__PATH=$directory/data OTPD__STORE__FREE_MIB_MIN=0 OTPD__LOG__FORMAT=json
export OTPD__SERVER__LISTEN=127.0.0.1:0 OTPD__OPS__LISTEN=127.0.0.1:0 OTPD__LIMITS__IP_PER_MINUTE=0
# Answers show codes, so that somebody can sign in.
export OTPD__DEV__SHOW_CODES=true
export OTPD__SMS__GATEWAY=simulated OTPD__SMS__SIMULATED__FAILURE_RATE=0 OTPD__SMS__SIMULATED__LATENCY_MS=0
for dialect in AUTH_OTP USR_OTP SIGNUP_LOGIN PHONE_PASSWORD TYPED_VERIFICATION; do
    export "OTPD__DIALECTS__${dialect}__IP_PER_MINUTE=0"
done

"$otpd" serve >/dev/null 2>"$directory/log" &
server=$!
address=''
for _ in $(seq 600); do
    address=$(sed -n 's/.*"listen":"\([^"]*\)".*/\1/p' "$directory/log" | head -1)
    [ -z "$address" ] || break
    kill -0 "$server" 2>/dev/null || { cat "$directory/log"; exit 1; }
    sleep 0.1
done
[ -n "$address" ] || { echo "the server did not start"; exit 1; }

cd "$directory"
ask() {
    "$schemathesis" run "http://$address/api/openapi.json" \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
        --phases examples,coverage,fuzzing --max-examples 40 --seed "$seed" --workers 1 \
        --continue-on-failure --warnings off --suppress-health-check all "$@"
}
echo "== as anyone"
ask

# A person's token, for everything but what would end it.
field() { grep -oE "\"$1\":\"[^\"]*\"" | head -1 | cut -d'"' -f4; }
post() { curl -sS -H 'Content-Type: application/json' -d "$2" "http://$address$1"; }
started=$(post /v1/verifications '{"to":"+12025550199"}')
check="{\"verification_id\":\"$(field id <<<"$started")\",\"code\":\"$(field code <<<"$started")\"}"
token=$(post /v1/sessions "$check" | field access_token)
[ -n "$token" ] || { echo "nobody could sign in"; exit 1; }
echo "== as a signed-in person"
ask --header "Authorization: Bearer $token" --include-path-regex '/me|profile' --exclude-method DELETE
curl -sS -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" "http://$address/v1/me" | grep -qx 200 ||
    { echo "the token did not last"; exit 1; }
