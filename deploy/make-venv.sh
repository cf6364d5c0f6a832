#!/bin/sh
# Creates the virtual environment $1 with the first suitable Python: $PYTHON if set, else python3, python3.13, 3.12, 3.11.
set -eu

venv=$1
here=$(dirname "$0")

suitable() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}
complete() {
    "$1" -c 'import ensurepip, sqlite3, ssl, venv' 2>/dev/null
}
choose() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if suitable "$candidate" && { [ "${1:-}" != complete ] || complete "$candidate"; }; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

command -v "${PYTHON:-python3}" >/dev/null 2>&1 || sh "$here/install-packages.sh" python3:python3
python=$(choose complete || choose) || {
    echo "docsave needs Python 3.11, 3.12 or 3.13 and found none; set PYTHON=/path/to/python3" >&2
    exit 1
}
if ! complete "$python"; then
    # Debian's python3 comes without the module that creates environments.
    sh "$here/install-packages.sh" none:python3-venv
    complete "$python" || {
        echo "docsave: $python has no venv module; install the package that provides it" >&2
        exit 1
    }
fi
rm -rf "$venv"
"$python" -m venv "$venv"
