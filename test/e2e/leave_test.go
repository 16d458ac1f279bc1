//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A container that leaves finishes what it has before it is stopped, with its claim unchanged,
// and serves again when it is taken back, or restarted (case 60).
func TestLeave(t *testing.T) {
	needDocker(t)
	host := ownHost("leave")
	p := startProxy(t, proxyOptions{}).synced()
	labels := map[string]string{"fairway.host": host, "fairway.service": own("e2e-leave")}
	one := run(t, boxOptions{name: "one", labels: labels, args: []string{"whoami", "--name=one"}})
	run(t, boxOptions{name: "two", labels: labels})
	p.answers(host, "/", "one")
	p.answers(host, "/", "two")
	leave := func(args ...string) {
		t.Helper()
		cmd := exec.Command(lab.binary, append([]string{"leave", one.id, "--docker", "unix://" + lab.socket}, args...)...)
		cmd.Env = append(os.Environ(), "FAIRWAY_ADMIN_TOKEN_FILE="+filepath.Join(p.state, "admin-token"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	load := startLoad(t, p.listen, host, 200)
	leave("--wait", "--fairway", "http://"+p.admin)
	if !strings.Contains(one.inspect().Name, ".fairway-leaving-") {
		t.Errorf("it is called %s", one.inspect().Name)
	}
	if got := p.answeredBy(20, host, "/"); got["two"] != 20 {
		t.Errorf("while one leaves: %v", got)
	}
	leave("--back")
	p.answers(host, "/", "one")
	leave("--wait", "--fairway", "http://"+p.admin)
	one.stop()
	one.start()
	p.answers(host, "/", "one")
	time.Sleep(100 * time.Millisecond)
	load.stop()
}
