# Build with: docker build -t swarm-autoscaler .
# The base is pinned by tag here; pin it by digest in your own pipeline: --build-arg PYTHON=python:3.11-slim-bookworm@sha256:…
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /build && python3 -m venv --without-pip /autoscaler && mkdir /state
COPY requirements/ requirements/
RUN /build/bin/pip install --quiet --require-hashes -r requirements/build.lock \
 && /build/bin/pip --python /autoscaler/bin/python install --quiet --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY autoscaler/ autoscaler/
RUN /build/bin/hatchling build --target wheel \
 && /build/bin/pip --python /autoscaler/bin/python install --quiet --no-deps --no-index dist/*.whl \
 && python3 -m compileall -q /autoscaler/lib

FROM ${PYTHON}
LABEL org.opencontainers.image.title="swarm-autoscaler" \
      org.opencontainers.image.description="Scales Docker Swarm services from Prometheus metrics, by policy, safely." \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /autoscaler /autoscaler
# For the history, if AUTOSCALER_STATE_DIR names it: a volume that is mounted here belongs to the user below, too.
COPY --from=build --chown=65532:65532 /state /var/lib/autoscaler
# One arena for malloc: calls run in threads of their own, and each would keep memory in an arena of its own.
ENV PATH=/autoscaler/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=1 \
    AUTOSCALER_POLICIES=/policies AUTOSCALER_LISTEN=0.0.0.0:9595
USER 65532:65532
EXPOSE 9595
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python3", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://' + os.environ['AUTOSCALER_LISTEN'] + '/-/healthy', timeout=4)"]
ENTRYPOINT ["autoscaler"]
CMD ["run"]
