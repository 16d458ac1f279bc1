package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fairway/internal/dockerapi"
	"fairway/internal/dockerapi/dockertest"
	"fairway/internal/fleet/agent/report"
	"fairway/internal/fleet/driver"
)

// simHost is a Docker host with one container in which HAProxy runs, as far as
// the fleet can tell: it speaks the Docker API over a unix socket.
//
// HAProxy here refuses a configuration with the word SYNTAX in it, cannot bind
// one with BINDFAIL, answers every request with 503 for one with ANSWER503, and has
// no page of statistics for one with NOPAGE.
type simHost struct {
	*dockertest.Engine
	name, url string

	mu        sync.Mutex
	files     map[string]string
	running   string // the configuration of the worker that serves
	workers   []simWorker
	nextPID   int
	log       []dockerapi.LogLine
	execs     map[string]*simExec
	commands  []string // of every exec, without the scripts' text
	stopped   bool     // the container
	listening []uint16 // by somebody else

	hasAgent, noSums bool
	requests, failed int64
	perLook          int64 // requests between two readings

	// The faults, each for commands whose name begins so: hang makes them hang,
	// fatal makes the machine lose power when one has done its work, and kill ends
	// them before they do any.
	hang, fatal, kill string
	deaf              int // signals that get lost
}

type simWorker struct {
	pid      int
	replaces []int
	began    int64
}

type simExec struct {
	args  []string
	code  int
	ended bool
}

const simFile = "/usr/local/etc/haproxy/haproxy.cfg"

// newSim starts a host with a configuration.
func newSim(t testing.TB, name, content string) *simHost {
	t.Helper()
	h := &simHost{
		name: name, files: map[string]string{simFile: content}, running: content, nextPID: 20,
		execs: map[string]*simExec{}, perLook: 100,
	}
	h.workers = []simWorker{{pid: 10, began: 100}}
	h.Engine = dockertest.New(&h.mu)
	h.Answer("GET /containers/json", func(*http.Request) any {
		state := "running"
		if h.stopped {
			state = "exited"
		}
		return fmt.Sprintf(`[{"Id":"c0ffee0000000000","Names":["/haproxy"],"State":%q,"Labels":{"edge":"yes"}}]`, state)
	})
	h.Answer("POST /containers/{id}/exec", h.createExec)
	h.HandleFunc("POST /exec/{id}/start", h.startExec)
	h.Answer("GET /exec/{id}/json", func(r *http.Request) any {
		e := h.execs[r.PathValue("id")]
		return map[string]any{"ID": r.PathValue("id"), "Running": !e.ended, "ExitCode": e.code}
	})
	h.Answer("POST /containers/{id}/kill", func(r *http.Request) any {
		h.signal(r.URL.Query().Get("signal"))
		return dockertest.Status{Code: http.StatusNoContent}
	})
	h.Answer("GET /containers/{id}/logs", h.lines)
	h.url = h.Listen(t)
	return h
}

// set changes the host under its lock.
func (h *simHost) set(change func(*simHost)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h)
}

// has returns what is in the file and what runs.
func (h *simHost) has() (file, running string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.files[simFile], h.running
}

func (h *simHost) isStopped() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stopped
}

// lines is the end of the log.
func (h *simHost) lines(r *http.Request) any {
	n, _ := strconv.Atoi(r.URL.Query().Get("tail"))
	var all []byte
	for _, line := range h.log[max(0, len(h.log)-n):] {
		all = append(all, dockertest.Piece(2, line.Time.Format(time.RFC3339Nano)+" "+line.Text+"\n")...)
	}
	return all
}

func (h *simHost) createExec(r *http.Request) any {
	var asked struct{ Cmd []string }
	_ = json.NewDecoder(r.Body).Decode(&asked)
	id := "e" + strconv.Itoa(len(h.execs))
	h.execs[id] = &simExec{args: asked.Cmd}
	h.commands = append(h.commands, simName(asked.Cmd))
	return dockertest.Status{Code: http.StatusCreated, Body: map[string]string{"Id": id}}
}

// simScripts are the scripts that may be run in a container, with their names here.
// They are written out, so that a change of one has to be made here as well.
var simScripts = map[string]string{
	`cat /proc/uptime
for p in /proc/[0-9]*; do
  c=; read c < "$p/comm" || continue
  case "$c" in haproxy*) ;; *) continue ;; esac
  s=; read s < "$p/stat" || continue
  echo "process $s"
  cat "$p/cmdline"; echo
  ls -l "$p/fd"
done 2>/dev/null
echo sockets
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null
exit 0`: "look",
	`[ ! -L "$1" ] || { echo "$1 is a symbolic link: name the file itself" >&2; exit 3; }
exec cat "$1"`: "read",
	`[ ! -L "$1" ] && exec sha256sum < "$1"`:                                             "digest",
	`cp -p "$1" "$1.fairway-new" && cat > "$1.fairway-new" && exec cat "$1.fairway-new"`: "write",
	`cp -p "$1" "$1.fairway-old" && exec mv -f "$1.fairway-new" "$1"`:                    "swap",
	`exec mv -f "$1.fairway-old" "$1"`:                                                   "back",
	`exec rm -f "$1.fairway-new"`:                                                        "drop",
	`kill -USR2 "$2"`:                                                                    "signal",
}

// The commands of the agent.
const (
	simStatus  = "fairway haproxy status -o json"
	simContent = "fairway haproxy status --content -o json"
	simStats   = "fairway haproxy stats -o json"
	simCheck   = "fairway haproxy apply --check -o json"
	simApply   = "fairway haproxy apply -o json"
	simTrust   = "fairway haproxy apply --skip-check -o json"
)

// simName is what is run: the name of a script with its path, or the arguments.
// Anything else than the fixed commands shows.
func simName(args []string) string {
	if len(args) >= 5 && args[0] == "sh" && args[1] == "-c" && args[3] == "fairway" {
		if name, ok := simScripts[args[2]]; ok {
			return name + " " + strings.Join(args[4:], " ")
		}
	}
	return strings.Join(args, " ")
}

func (h *simHost) startExec(w http.ResponseWriter, r *http.Request) {
	conn, in, err := dockertest.Upgrade(w, r)
	if err != nil {
		return
	}
	defer conn.Close()
	h.mu.Lock()
	e := h.execs[r.PathValue("id")]
	name := simName(e.args)
	hang := h.hang != "" && strings.HasPrefix(name, h.hang)
	h.mu.Unlock()
	if hang {
		for err == nil { // until the client hangs up
			time.Sleep(20 * time.Millisecond)
			_, err = conn.Write(dockertest.Piece(1, ""))
		}
		return
	}
	stdin, _ := io.ReadAll(in)
	h.mu.Lock()
	defer h.mu.Unlock()
	stdout, stderr, code := h.perform(name, string(stdin))
	if h.fatal != "" && strings.HasPrefix(name, h.fatal) {
		h.Disturb("", dockertest.Break)
		return
	}
	_, _ = conn.Write(append(dockertest.Piece(1, stdout), dockertest.Piece(2, stderr)...))
	e.code, e.ended = code, true
}

// perform does what a command does. The caller holds mu.
func (h *simHost) perform(name, stdin string) (stdout, stderr string, code int) {
	if h.kill != "" && strings.HasPrefix(name, h.kill) {
		return "", "", 137
	}
	switch name {
	case simStatus, simContent, simStats, simCheck, simApply, simTrust:
		return h.agent(name, stdin)
	case "haproxy -v":
		return "HAProxy version 2.6.12-1 2025/10/03 - https://haproxy.org/\n", "", 0
	case "haproxy -c -W -f /dev/stdin":
		return h.check(stdin)
	case "read " + simFile:
		return h.files[simFile], "", 0
	case "digest " + simFile:
		if h.noSums {
			return "", "sh: sha256sum: not found", 127
		}
		return driver.Digest([]byte(h.files[simFile])) + "  -\n", "", 0
	case "write " + simFile:
		h.files[simFile+".fairway-new"] = stdin
		return stdin, "", 0
	case "swap " + simFile:
		h.files[simFile+".fairway-old"] = h.files[simFile]
		h.files[simFile] = h.files[simFile+".fairway-new"]
		delete(h.files, simFile+".fairway-new")
		return "", "", 0
	case "back " + simFile:
		h.files[simFile] = h.files[simFile+".fairway-old"]
		return "", "", 0
	case "drop " + simFile:
		delete(h.files, simFile+".fairway-new")
		return "", "", 0
	case "look " + simFile:
		return h.processes(), "", 0
	}
	return "", "sh: no such command: " + name, 127
}

// agent does what the agent's commands do, where the container has one.
func (h *simHost) agent(name, stdin string) (stdout, stderr string, code int) {
	if !h.hasAgent {
		return "OCI runtime exec failed: exec failed: exec: \"fairway\": executable file not found in $PATH: unknown\r\n", "", 126
	}
	say := func(v any) (string, string, int) {
		text, _ := json.Marshal(v)
		return string(text), "[2026-11-21 04:00:00] a line of the log", 0
	}
	switch name {
	case simStatus, simContent:
		var content []byte
		if name == simContent {
			content = []byte(h.files[simFile])
		}
		return say(report.Status{
			Name: "web", Content: content, Digest: driver.Digest([]byte(h.files[simFile])), Running: driver.Digest([]byte(h.running)),
			Version: "2.6.12", Worker: h.workers[0].pid, Uptime: time.Minute,
		})
	case simStats:
		return say(report.Statistics{Stat: h.statsLocked()})
	case simTrust:
	default:
		if _, words, code := h.check(stdin); code != 0 {
			return say(report.Result{Outcome: report.Refused, Reason: words})
		}
	}
	if name == simCheck {
		return say(report.Result{Outcome: report.Updated})
	}
	before := h.files[simFile]
	h.files[simFile] = stdin
	if h.reload(); h.running != stdin {
		h.files[simFile] = before
		h.reload()
		return say(report.Result{Outcome: report.Refused, Reason: h.log[len(h.log)-4].Text + "; what was there before runs again"})
	}
	return say(report.Result{Outcome: report.Updated})
}

func (h *simHost) check(content string) (string, string, int) {
	for i, line := range strings.Split(content, "\n") {
		if strings.Contains(line, "SYNTAX") {
			return "", fmt.Sprintf("[ALERT]    (77) : config : parsing [/dev/stdin:%d] : unknown keyword 'SYNTAX' in 'listen' section\n[ALERT]    (77) : config : Fatal errors found in configuration.\n", i+1), 1
		}
	}
	return "Configuration file is valid\n", "", 0
}

var simBind = regexp.MustCompile(`bind \S*:(\d+)`)

// processes writes what lookScript would.
func (h *simHost) processes() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d.00 1.00\n", 1000+len(h.execs))
	line := func(pid, parent int, began int64, args ...string) {
		fmt.Fprintf(&b, "process %d (haproxy) S %d%s %d 0\n%s\x00\n", pid, parent, strings.Repeat(" 0", 17), began, strings.Join(args, "\x00"))
	}
	line(1, 0, 50, "haproxy", "-W", "-db", "-f", simFile)
	for _, w := range h.workers {
		args := []string{"haproxy"}
		if len(w.replaces) > 0 {
			args = append(args, "-sf")
			for _, pid := range w.replaces {
				args = append(args, strconv.Itoa(pid))
			}
		}
		line(w.pid, 1, w.began, append(args, "-W", "-f", simFile)...)
		b.WriteString("lrwx------ 1 root root 64 Nov 21 04:00 5 -> socket:[100]\nlrwx------ 1 root root 64 Nov 21 04:00 6 -> socket:[101]\n")
	}
	b.WriteString("sockets\n  sl  local_address rem_address   st\n")
	var ports []uint16
	for _, m := range simBind.FindAllStringSubmatch(h.running, -1) {
		n, _ := strconv.ParseUint(m[1], 10, 16)
		ports = append(ports, uint16(n))
	}
	for i, port := range append(ports, h.listening...) {
		inode := 100 + i
		if i >= len(ports) {
			inode = 900
		}
		fmt.Fprintf(&b, "%4d: 00000000:%04X 00000000:0000 0A 0 0 0 0 0 %d\n", i, port, inode)
	}
	return b.String()
}

func (h *simHost) say(text string) {
	at := time.Now()
	if n := len(h.log); n > 0 && !at.After(h.log[n-1].Time) {
		at = h.log[n-1].Time.Add(1)
	}
	h.log = append(h.log, dockerapi.LogLine{Time: at, Text: text})
}

// signal is what HAProxy does when it is told to read its file again. The caller
// holds mu.
func (h *simHost) signal(signal string) {
	if signal != "USR2" {
		h.say("an unexpected signal: " + signal)
		return
	}
	if h.deaf > 0 {
		h.deaf--
		return
	}
	h.reload()
}

// reload reads the file again. The caller holds mu.
func (h *simHost) reload() {
	say := h.say
	say("[NOTICE]   (1) : Reloading HAProxy")
	content := h.files[simFile]
	if strings.Contains(content, "BINDFAIL") {
		say("[ALERT]    (1) : Starting proxy web: cannot bind socket (Address already in use) [0.0.0.0:81]")
		say("[WARNING]  (1) : Loading failure!")
		return
	}
	var old []int
	for _, w := range h.workers {
		old = append(old, w.pid)
	}
	h.nextPID++
	h.workers = []simWorker{{pid: h.nextPID, replaces: old, began: int64(h.nextPID) * 100}}
	h.running, h.requests, h.failed = content, 0, 0
	say("[NOTICE]   (1) : Loading success.")
}

// stats is the statistics page. Each look at it finds more requests.
func (h *simHost) stats() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.statsLocked()
}

func (h *simHost) statsLocked() string {
	h.requests += h.perLook
	if strings.Contains(h.running, "ANSWER503") {
		h.failed += h.perLook
	}
	return fmt.Sprintf("# pxname,svname,scur,stot,bin,bout,econ,hrsp_5xx,req_tot,status,type,\n"+
		"web,FRONTEND,1,%d,0,0,,%d,%d,OPEN,0,\nweb,s1,0,0,0,0,0,0,,UP,2,\nweb,BACKEND,0,0,0,0,0,0,,UP,1,\n", h.requests, h.failed, h.requests)
}

// simPages is the network in which the statistics pages are: http://NAME/.
type simPages map[string]*simHost

func (p simPages) RoundTrip(r *http.Request) (*http.Response, error) {
	h, ok := p[r.URL.Hostname()]
	if !ok || h.isStopped() {
		return nil, fmt.Errorf("no such host")
	}
	if _, running := h.has(); strings.Contains(running, "NOPAGE") {
		return nil, fmt.Errorf("nobody listens")
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: r,
		Body: io.NopCloser(bytes.NewBufferString(h.stats())),
	}, nil
}

// simFleet is hosts, and a fleet over them.
type simFleet struct {
	hosts  []*simHost
	m      *Map
	limits limits
	ended  func(Rollout) // Options.OnEnded; nil for none
}

// newSimFleet starts hosts h1, h2 … with a configuration. Every one has a
// statistics page.
func newSimFleet(t testing.TB, n int, content string) *simFleet {
	t.Helper()
	s := &simFleet{m: &Map{Templates: map[string]bool{}}, limits: limits{look: defaultLimits().look, host: 6 * time.Second, rollout: 20 * time.Second, lost: 2 * time.Second, concurrency: 16}}
	for i := range n {
		h := newSim(t, fmt.Sprintf("h%d", i+1), content)
		s.hosts = append(s.hosts, h)
		s.m.Targets = append(s.m.Targets, driver.Target{
			Host: h.name, Docker: h.url, Document: "web", Container: "haproxy", File: simFile, Stats: "http://" + h.name + "/stats",
		})
	}
	return s
}

func (s *simFleet) pages() simPages {
	p := simPages{}
	for _, h := range s.hosts {
		p[h.name] = h
	}
	return p
}

// newEngine makes clients with a short timeout.
func newEngine(url string) (driver.Engine, error) {
	return dockerapi.New(dockerapi.Options{URL: url, Timeout: 5 * time.Second})
}

// onlyFixed fails when a container was given anything but the fixed commands.
func (s *simFleet) onlyFixed(t testing.TB) {
	t.Helper()
	fixed := []string{"haproxy -v", "haproxy -c -W -f /dev/stdin", simStatus, simContent, simStats, simCheck, simApply, simTrust}
	for _, name := range simScripts {
		fixed = append(fixed, name+" "+simFile)
	}
	for _, h := range s.hosts {
		h.mu.Lock()
		for _, c := range h.commands {
			if !slices.Contains(fixed, c) {
				t.Errorf("%s was given the command %q", h.name, c)
			}
		}
		h.mu.Unlock()
	}
}
