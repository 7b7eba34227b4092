# The gateway's image, and the simulator's: one interpreter, one virtual environment, no compiler, no package manager's cache.
#
# No `# syntax=` line and no heredocs: the engine's own builder (20.10 and newer, BuildKit or not) is enough.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/gateway
# Dependencies first: this layer stays while only the gateway's own code changes. Hashes make a swapped package end the build.
# The extra `otel` is among them: what traces need is loaded only where OTEL_TRACES_ENABLED is true.
COPY requirements/runtime.lock requirements/
RUN /opt/gateway/bin/pip install --require-hashes --only-binary :all: -r requirements/runtime.lock
COPY pyproject.toml README.md ./
COPY gateway gateway
RUN /opt/gateway/bin/pip install --no-deps . && /opt/gateway/bin/pip uninstall --yes pip
# What is in there, by name, version, licence and hash, as CycloneDX has it: for whoever must say whether a vulnerability concerns this image.
COPY requirements/sbom.lock requirements/
RUN python -m venv /opt/sbom \
    && /opt/sbom/bin/pip install --require-hashes --only-binary :all: -r requirements/sbom.lock \
    && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --output-file /opt/gateway/sbom.cdx.json /opt/gateway/bin/python

FROM ${PYTHON_IMAGE}
ARG GATEWAY_REVISION=
LABEL org.opencontainers.image.title="inference-gateway" org.opencontainers.image.revision="${GATEWAY_REVISION}"
# A fixed number, so that the host and Compose can name it; no home and no shell, as nobody logs in.
RUN groupadd --gid 1001 gateway \
    && useradd --uid 1001 --gid 1001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin gateway \
    # A volume that is mounted here begins as what it covers: the gateway's own, and nobody else's to read.
    && install --directory --owner=gateway --group=gateway --mode=0700 /data
COPY --from=build /opt/gateway /opt/gateway
# Unbuffered, or the last lines before a crash are lost; no bytecode, as the file system is read-only and pip has compiled everything.
ENV PATH=/opt/gateway/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 1001:1001
WORKDIR /tmp
# Requests; metrics.
EXPOSE 9000 9100
ENTRYPOINT ["gateway"]
CMD ["serve"]
