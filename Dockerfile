# One process of the bot, without privileges, on a root file system that may be read-only. docs/install.md has the use.

# The tag names Python's minor version and Debian's release, so a rebuild with --pull brings the security fixes of both.
ARG PYTHON=3.13-slim-trixie

FROM python:${PYTHON} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1

RUN python -m venv /opt/venv
COPY requirements.txt /build/
# Packages are never compiled here, so no compiler is needed; pip itself is not needed afterwards.
RUN /opt/venv/bin/pip install --no-deps --only-binary :all: --require-hashes -r /build/requirements.txt \
    && /opt/venv/bin/pip uninstall --yes pip

COPY pyproject.toml LICENSE /app/
COPY bot /app/bot
COPY adapters /app/adapters
COPY config /app/config
# A read-only file system keeps no bytecode. Times of files may change on their way, so they are not compared.
RUN python -m compileall -q --invalidation-mode unchecked-hash /app


FROM python:${PYTHON}

LABEL org.opencontainers.image.title="Tickertape" \
      org.opencontainers.image.description="An LLM chat bot for Slack and Discord that streams its answers" \
      org.opencontainers.image.licenses="MIT"

# The number is fixed, so that the owner of a volume stays the same; Kubernetes requires a number (runAsNonRoot).
RUN groupadd --gid 10001 tickertape \
    && useradd --uid 10001 --gid tickertape --home-dir /data --no-create-home --shell /usr/sbin/nologin tickertape \
    && install --directory --owner=tickertape --group=tickertape --mode=0700 /data

COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app

# Python finds the program in /app alone, whatever the working directory holds.
ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONPATH=/app \
    PYTHONSAFEPATH=1

# Without certificates, or with a package missing, the build fails, rather than the first answer. The base image has no
# bytecode of Python's own modules; this leaves that of all modules in use, for quick starts and cheap health checks.
RUN python -c "import http.client, ssl; assert ssl.create_default_context().get_ca_certs()" \
    && python -m bot --version

ENV PYTHONDONTWRITEBYTECODE=1 \
    PORT=8080 \
    TICKERTAPE_HOST=0.0.0.0 \
    TICKERTAPE_PLAYGROUND=off \
    JOURNAL_URL=sqlite:////data/tickertape.db

USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM

# http.client, unlike urllib, ignores HTTP_PROXY.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; site = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); site.request('GET', '/healthz'); sys.exit(site.getresponse().status != 200)"]

# No shell stands between: Python is process 1 and receives SIGTERM.
ENTRYPOINT ["python", "-m", "bot"]
