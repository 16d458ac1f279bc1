# The image of Fairway: one static binary and a directory for its state. Build
# the binary first: make build && docker build -t fairway .
FROM scratch
COPY bin/fairway /fairway
COPY --chown=65532:65532 deploy/state /var/lib/fairway
ENV FAIRWAY_STATE_DIR=/var/lib/fairway
# Nobody in particular. To read a Docker socket it needs the socket's group, or a
# socket proxy; deploy/ shows both.
USER 65532:65532
EXPOSE 80 443 443/udp
VOLUME /var/lib/fairway
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["/fairway", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/fairway"]
CMD ["run"]
