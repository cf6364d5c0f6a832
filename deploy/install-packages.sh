#!/bin/sh
# Installs Debian packages whose programs are missing:  install-packages.sh program:package ...
# Only as root or with a sudo that asks nothing; otherwise one line says what to install.
# Daemons that come with a package are not started: docsave runs its own, private ones.
set -eu

found() {
    command -v "$1" >/dev/null 2>&1 && return 0
    for directory in /usr/sbin /usr/local/sbin /usr/lib/rabbitmq/bin; do
        [ -x "$directory/$1" ] && return 0
    done
    return 1
}

missing=""
for pair; do
    found "${pair%%:*}" || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0
missing=$(printf '%s\n' $missing | sort -u | xargs)

if ! command -v apt-get >/dev/null 2>&1; then
    echo "docsave needs: $missing; install what provides them on this system" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        exec sudo -n sh "$0" "$@"
    fi
    echo "docsave needs: $missing; run: sudo apt-get install $missing" >&2
    exit 1
fi

# invoke-rc.d asks this program before it starts a daemon; 101 means "no". A program that is there already is put back.
policy=/usr/sbin/policy-rc.d
restore() {
    rm -f "$policy"
    [ ! -e "$policy.docsave" ] || mv "$policy.docsave" "$policy"
}
[ ! -e "$policy" ] || mv "$policy" "$policy.docsave"
trap restore EXIT
trap 'exit 130' INT TERM
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

echo "docsave: installing $missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# shellcheck disable=SC2086 # a list of names
if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "docsave: installing $missing failed" >&2
    exit 1
fi
rm -f "$log"
