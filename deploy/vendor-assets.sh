#!/bin/sh
# Copies what the gateway's pages load from the locked npm packages into the repository: no page asks another server.
# A test compares both, so run `make assets` after changing package-lock.json.
set -eu

vendor=gateway_http/static/vendor

# package, then its files; a name that needs an ending to be served gets .txt
copy() {
    package=$1
    shift
    mkdir -p "$vendor/$package"
    for file in "$@"; do
        name=$(basename "$file")
        case $name in *.*) ;; *) name=$name.txt ;; esac
        cp "node_modules/$package/$file" "$vendor/$package/$name"
    done
    node -p "require('./node_modules/$package/package.json').version" > "$vendor/$package/VERSION.txt"
}

copy swagger-ui-dist swagger-ui-bundle.js swagger-ui-bundle.js.LICENSE.txt swagger-ui.css favicon-32x32.png LICENSE NOTICE
copy socket.io-client dist/socket.io.esm.min.js LICENSE
