# One image for every service: compose chooses which one a container runs.
FROM python:3.12-slim

# The containers run as the owner of ./secrets (see deploy/make-secrets.sh), never as root.
ARG DOCSAVE_UID=10001
ARG DOCSAVE_GID=10001

ENV PYTHONUNBUFFERED=1 \
    PYTHONWARNINGS=ignore \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
COPY requirements.txt ./
RUN pip install --require-hashes --requirement requirements.txt

COPY config.yml alembic.ini gateway.py ./
COPY docsave_services docsave_services
COPY gateway_http gateway_http
COPY notifier_bridge notifier_bridge
COPY backup backup
RUN python -m compileall -q . \
    && mkdir -p /data/blobs /backups \
    && chown -R "${DOCSAVE_UID}:${DOCSAVE_GID}" /data /backups

USER ${DOCSAVE_UID}:${DOCSAVE_GID}
ENV DOCSAVE_HOST=0.0.0.0 \
    DOCSAVE_DATA_DIR=/data \
    DOCSAVE_BACKUP_DIR=/backups

CMD ["python", "-m", "docsave_services.runtime.service", "gateway"]
