package deploy

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestHAProxyAgent holds the image with the agent, and the file to start it from,
// to their promises.
func TestHAProxyAgent(t *testing.T) {
	data, err := os.ReadFile("haproxy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"USER ${OWNER}", `ENTRYPOINT ["fairway", "haproxy"]`, `CMD ["run"]`, "STOPSIGNAL SIGTERM", "VOLUME /usr/local/haproxy/etc",
		`HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["fairway", "haproxy", "status"]`,
	} {
		if !slices.Contains(strings.Split(string(data), "\n"), line) {
			t.Errorf("the Dockerfile has no line %q", line)
		}
	}
	if data, err = os.ReadFile("haproxy/compose.yml"); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(data, []byte("\n")); n > maxLines {
		t.Errorf("%d lines, more than %d", n, maxLines)
	}
	var s stack
	if err := yaml.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	h, ok := s.Services["haproxy"]
	if !ok || h.Environment["VIP"] == "" || h.Environment["CFG_GET_URL"] == "" || !slices.Contains(h.Volumes, "haproxy:/usr/local/haproxy/etc") {
		t.Errorf("the service: %+v", h)
	}
}
