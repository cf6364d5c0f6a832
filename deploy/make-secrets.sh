#!/bin/sh
# Makes the secrets of the containers in ./secrets, each in a file of its own, readable by its owner only.
# A file that exists is kept. The containers run as the owner of these files: .env tells compose who that is.
set -eu
umask 077

root=$(cd "$(dirname "$0")/.." && pwd)
owner=$(id -u)
group=$(id -g)
if [ "$owner" = 0 ]; then
    owner=10001
    group=10001
fi
mkdir -p secrets

secret() {
    python3 -c 'import secrets; print(secrets.token_urlsafe(36))'
}
keep() {
    [ -s "secrets/$1" ] || printf '%s\n' "$2" >"secrets/$1"
}

keep secret_key "$(secret)"
keep secret_key_previous "$(cat secrets/secret_key)" # the same: there is none that still counts
keep admin_password "$(secret)"
keep db_password "$(secret)"
keep db_root_password "$(secret)"
# The operator's account at the broker, and one for each service with the rights it needs.
keep amqp_password "$(secret)"
for service in gateway notifier users files webhooks backup; do
    keep "amqp_password_$service" "$(secret)"
    keep "amqp_uri_$service" "amqp://$service:$(cat "secrets/amqp_password_$service")@broker:5672/"
done
keep db_uri "mysql+pymysql://docsave:$(cat secrets/db_password)@database/docsave?charset=utf8mb4"
keep amqp_uri "amqp://docsave:$(cat secrets/amqp_password)@broker:5672/"
# For a bucket as one more place of the backup: empty while there is none.
touch secrets/backup_s3_key_id secrets/backup_s3_secret
# Made anew each time, since rights may change with a release; the passwords in it stay.
printf 'load_definitions = /etc/rabbitmq/docsave-definitions.json\n' >secrets/rabbitmq.conf
PYTHONPATH="$root" python3 -m docsave_services.runtime.broker_rights secrets >secrets/rabbitmq_definitions.json

if [ "$(id -u)" = 0 ]; then
    chown -R "$owner:$group" secrets
fi
if ! grep -q '^DOCSAVE_UID=' .env 2>/dev/null; then
    printf 'DOCSAVE_UID=%s\nDOCSAVE_GID=%s\n' "$owner" "$group" >>.env
fi
echo "secrets are in ./secrets; the first administrator's password is in ./secrets/admin_password"
