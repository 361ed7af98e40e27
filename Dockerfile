# The server on a core install: no torch. Mount a bot, writable, at /bot (docs/serving.md).
FROM python:3.11-slim

RUN useradd --create-home g2r
COPY pyproject.toml README.md LICENSE /build/
COPY src /build/src
RUN pip install --no-cache-dir '/build[serve]' && rm -r /build

USER g2r
WORKDIR /home/g2r
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
ENTRYPOINT ["g2r", "serve"]
CMD ["/bot", "--host", "0.0.0.0"]
