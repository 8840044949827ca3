# Runs the examples of the source documents as they are printed, against the server at $OTPD whose standard output
# goes to the file $OUTPUT. In them `http://localhost:8000` is that server; the placeholders of the documents
# (123456, YOUR_CODE, YOUR_JWT_TOKEN, …) are filled in with the real code and token.
set -euo pipefail

failed=0
code=''
token=''
registration_token=''
body=''

# The newest code that was printed for a number.
read_code() {
    code=$(grep -F "[console sms] to $1: " "$OUTPUT" | tail -1 | sed 's/^[^:]*: //' | grep -oE '[0-9]{4,10}' | head -1)
    [ -n "$code" ] || { echo "no code for that number"; exit 1; }
}

# example WHAT STATUS BODY: runs the command of standard input; in BODY a * stands for anything.
example() {
    local what=$1 status=$2 expected=$3 command answer found
    command=$(cat)
    command=${command//http:\/\/localhost:8000/http:\/\/$OTPD}
    command=${command//YOUR_JWT_TOKEN/$token}
    command=${command//fef8702768384d1d88a2e1454e6c749c/$registration_token}
    if [ -n "$code" ]; then
        command=${command//YOUR_CODE/$code}
        command=${command//\"123456\"/\"$code\"}
        command=${command//\"1234\"/\"$code\"}
    fi
    answer=$(curl() { command curl --silent --show-error --write-out '\n%{http_code}' "$@"; }; eval "$command")
    found=${answer##*$'\n'}
    body=${answer%$'\n'*}
    local pattern=$expected
    pattern=${pattern//\\/\\\\}
    pattern=${pattern//[/\\[}
    pattern=${pattern//]/\\]}
    pattern=${pattern//\?/\\?}
    # The pattern is meant as one.
    # shellcheck disable=SC2053
    if [ "$found" = "$status" ] && [[ $body == $pattern ]]; then
        echo "ok      $what"
    else
        echo "FAILED  $what"
        echo "  expected $status $expected"
        echo "  answered $found $(printf %s "$body" | head -c 400)"
        failed=1
    fi
}

# field NAME: the text of a field of the last body; the first of that name.
field() {
    printf %s "$body" | grep -oE "\"$1\":\"[^\"]*\"" | head -1 | sed 's/^[^:]*:"//; s/"$//'
}

# The document's JavaScript, where there is a node to run it.
javascript() {
    if command -v node >/dev/null; then
        node "$@" && echo "ok      $(basename "$1")" || { echo "FAILED  $(basename "$1")"; failed=1; }
    else
        echo "skipped $(basename "$1"): node is not installed"
    fi
}

trap '[ $failed -eq 0 ] || exit 1' EXIT
