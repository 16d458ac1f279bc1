package fleet

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var began = time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)

// moment makes a moment of a rollout out of the states of its hosts, as
// "applied@0 waiting".
func moment(s Settings, wave int, text string) Moment {
	m := Moment{
		limits:  defaultLimits(),
		Rollout: Rollout{Number: 1, Document: "web", Settings: s.withDefaults(), Phase: Running, Began: began, Wave: wave},
		Now:     began.Add(time.Minute), Settled: began.Add(30 * time.Second), Seen: began.Add(time.Minute), End: began.Add(defaultLimits().rollout),
	}
	for i, word := range strings.Fields(text) {
		state, w, _ := strings.Cut(word, "@")
		step := Step{Rollout: 1, Host: fmt.Sprintf("h%d", i+1), State: StepState(state)}
		_, _ = fmt.Sscan(w, &step.Wave)
		switch step.State {
		case Refused, Unknown:
			step.Error = "no"
		case Absent:
			step.Error = "down"
		}
		if step.State != Waiting && step.State != Absent && step.State != Already {
			step.Had = "old"
		}
		m.Steps = append(m.Steps, step)
		m.Rollout.Hosts = append(m.Rollout.Hosts, step.Host)
	}
	return m
}

// TestNext looks at single decisions.
func TestNext(t *testing.T) {
	two := Settings{Wave: Share{Count: 2}, Pause: 10 * time.Second}
	for name, tt := range map[string]struct {
		m    Moment
		with func(*Moment)
		want Decision
	}{
		"the canary first":         {m: moment(two, 0, "waiting waiting waiting"), want: Decision{Apply: []int{0}, Phase: Running}},
		"while it is worked on":    {m: moment(two, 0, "applying@0 waiting waiting"), want: Decision{Phase: Running}},
		"watched before the rest":  {m: moment(two, 0, "applied@0 waiting waiting"), with: func(m *Moment) { m.Settled = m.Now }, want: Decision{Phase: Running, Watch: true}},
		"over before it was seen":  {m: moment(two, 0, "applied@0 waiting waiting"), with: func(m *Moment) { m.Seen = time.Time{} }, want: Decision{Phase: Running, Watch: true}},
		"seen during the pause":    {m: moment(two, 1, "applied@0 applied@1"), with: func(m *Moment) { m.Seen = m.Settled.Add(9 * time.Second) }, want: Decision{Phase: Running, Wave: 1, Watch: true}},
		"the next wave":            {m: moment(two, 0, "applied@0 waiting waiting waiting"), want: Decision{Apply: []int{1, 2}, Phase: Running, Wave: 1}},
		"the rest of a wave":       {m: moment(two, 1, "applied@0 applying@1 waiting waiting"), want: Decision{Apply: []int{2}, Phase: Running, Wave: 1}},
		"absent is no canary":      {m: moment(two, 0, "absent@0 already@0 waiting waiting"), want: Decision{Apply: []int{2}, Phase: Running}},
		"no canary":                {m: moment(Settings{Canary: -1, Wave: Share{Count: 2}}, 0, "waiting waiting waiting"), want: Decision{Apply: []int{0, 1}, Phase: Running}},
		"as many as may be":        {m: moment(Settings{Canary: 3}, 0, "applied@0 waiting waiting waiting"), with: func(m *Moment) { m.limits.concurrency = 1 }, want: Decision{Apply: []int{1}, Phase: Running}},
		"watched at the end":       {m: moment(two, 1, "applied@0 applied@1"), with: func(m *Moment) { m.Settled = m.Now }, want: Decision{Phase: Running, Wave: 1, Watch: true}},
		"done":                     {m: moment(two, 1, "applied@0 applied@1 absent@1"), want: Decision{Phase: Done, Wave: 1}},
		"nothing to do":            {m: moment(two, 0, "already@0 already@0"), want: Decision{Phase: Done}},
		"nobody there":             {m: moment(two, 0, "absent@0 absent@0"), want: Decision{Phase: Reverted, Reason: "no host could be reached; h1: down"}},
		"a failure":                {m: moment(two, 1, "applied@0 refused@1 waiting"), want: Decision{Return: []int{0}, Phase: Reverting, Wave: 1, Reason: "h2: no"}},
		"contact lost":             {m: moment(two, 1, "applied@0 unknown@1 waiting"), want: Decision{Return: []int{0, 1}, Phase: Reverting, Wave: 1, Reason: "h2: no"}},
		"worse":                    {m: moment(two, 0, "applied@0 waiting"), with: func(m *Moment) { m.Worse = "h1: worse" }, want: Decision{Return: []int{0}, Phase: Reverting, Reason: "h1: worse"}},
		"stopped":                  {m: moment(two, 0, "applied@0 applying@0 waiting"), with: func(m *Moment) { m.Stop = "stopped by ann" }, want: Decision{Return: []int{0}, Phase: Reverting, Reason: "stopped by ann"}},
		"too late":                 {m: moment(two, 0, "applied@0 waiting"), with: func(m *Moment) { m.Now = m.End.Add(-29 * time.Second) }, want: Decision{Return: []int{0}, Phase: Reverting, Reason: "not done in time: a rollout has 30m0s, of which going back takes its part"}},
		"touched before the crash": {m: moment(two, 0, "applied@0 waiting"), with: func(m *Moment) { m.Stop = "no"; m.Steps[1].Touched, m.Steps[1].Had = true, "old" }, want: Decision{Return: []int{0, 1}, Phase: Reverting, Reason: "no"}},
		"back":                     {m: moment(two, 0, "returned@0 returning@0 applied@0"), with: reverting, want: Decision{Return: []int{2}, Phase: Reverting, Reason: "h9: no"}},
		"back, awaited":            {m: moment(two, 0, "returned@0 returning@0 waiting"), with: reverting, want: Decision{Phase: Reverting, Reason: "h9: no"}},
		"back, given up":           {m: moment(two, 0, "returned@0 applied@0"), with: func(m *Moment) { reverting(m); m.Now = m.End }, want: Decision{GiveUp: []int{1}, Phase: Reverting, Reason: "h9: no"}},
		"reverted":                 {m: moment(two, 0, "returned@0 lost@0 refused@0 absent@0 waiting"), with: reverting, want: Decision{Phase: Reverted, Reason: "h9: no"}},
	} {
		if tt.with != nil {
			tt.with(&tt.m)
		}
		got := Next(tt.m)
		got.Until = time.Time{}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func reverting(m *Moment) { m.Rollout.Phase, m.Rollout.Reason = Reverting, "h9: no" }

// TestNextEnds plays rollouts in which hosts do as they like, with crashes in
// between: every one ends in time, never works on a host twice at once or on more
// than it may, never begins a wave while the one before is not watched, and leaves
// no host changed that can be reached when it is reverted.
func TestNextEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "hosts")
		s := Settings{
			Canary: rapid.IntRange(-1, 3).Draw(t, "canary"), Wave: Share{Count: rapid.IntRange(1, 5).Draw(t, "wave")},
			Pause: time.Duration(rapid.IntRange(1, 20).Draw(t, "pause")) * time.Second,
		}
		m := moment(s, 0, strings.Repeat("waiting ", n))
		m.limits = limits{
			host: 10 * time.Second, rollout: time.Duration(rapid.IntRange(1, 10).Draw(t, "deadline")) * time.Minute,
			concurrency: rapid.IntRange(1, 4).Draw(t, "concurrency"),
		}
		m.End = began.Add(m.limits.rollout)
		m.Now, m.Settled, m.Seen = began, began, time.Time{}
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		m.play(t, random)
	})
}

// play is a world for a rollout.
func (m Moment) play(t *rapid.T, random *rand.Rand) {
	watched := true
	for range 10000 {
		d := Next(m)
		if d.Wave > m.Rollout.Wave && !watched {
			t.Fatal("a wave begins although the one before was not watched")
		}
		m.Rollout.Phase, m.Rollout.Wave, m.Rollout.Reason = d.Phase, d.Wave, d.Reason
		if d.Phase.Ended() {
			m.judge(t)
			return
		}
		for _, i := range d.GiveUp {
			m.Steps[i].State = Lost
		}
		for _, i := range append(d.Apply, d.Return...) {
			if m.Steps[i].busy() {
				t.Fatalf("host %d is worked on twice", i)
			}
		}
		for _, i := range d.Apply {
			m.Steps[i].State, m.Steps[i].Wave, watched = Applying, d.Wave, false
		}
		for _, i := range d.Return {
			m.Steps[i].State = Returning
		}
		busy := m.busyHosts()
		if len(busy) > m.limits.concurrency {
			t.Fatalf("%d hosts are worked on", len(busy))
		}
		switch {
		case random.IntN(20) == 0: // a crash
			for i := range m.Steps {
				m.Steps[i] = m.Steps[i].resumed()
			}
			m.Settled = m.Now
		case len(busy) > 0:
			m.Now = m.Now.Add(time.Duration(random.IntN(10000)) * time.Millisecond)
			m.happen(busy[random.IntN(len(busy))], random)
		case d.Watch:
			if m.Now = d.Until; random.IntN(4) > 0 { // all hosts have answered
				m.Seen, watched = m.Now, true
			}
			if random.IntN(15) == 0 {
				m.Worse = "worse"
			}
		case len(d.GiveUp) == 0:
			t.Fatalf("nothing to do and no end: %+v", m)
		}
	}
	t.Fatal("no end")
}

func (m Moment) busyHosts() []int {
	var busy []int
	for i := range m.Steps {
		if m.Steps[i].busy() {
			busy = append(busy, i)
		}
	}
	return busy
}

// happen ends what is being done to a host.
func (m *Moment) happen(i int, random *rand.Rand) {
	s := &m.Steps[i]
	m.Settled, s.Ended = m.Now, m.Now
	if s.State == Returning {
		s.State = []StepState{Returned, Returned, Lost}[random.IntN(3)]
		return
	}
	s.State = []StepState{Applied, Applied, Applied, Applied, Applied, Applied, Already, Absent, Refused, Unknown}[random.IntN(10)]
	if s.Had != "" && (s.State == Already || s.State == Absent || s.State == Refused) {
		s.State = Unknown
	}
	if s.State != Already && s.State != Absent {
		s.Had = "old"
	}
}

// judge looks at a rollout that has ended.
func (m Moment) judge(t *rapid.T) {
	// Those that are worked on together end here one after the other.
	if over := m.Now.Sub(m.End); over > time.Duration(m.limits.concurrency)*m.limits.host {
		t.Errorf("it ended %v after its deadline", over)
	}
	failed := 0
	for i := range m.Steps {
		s := &m.Steps[i]
		if s.failed() {
			failed++
		}
		if m.Rollout.Phase == Reverted && (s.changed() || s.busy()) {
			t.Errorf("reverted, and %s is %s", s.Host, s.State)
		}
		if m.Rollout.Phase == Done && (s.State == Waiting || s.busy()) {
			t.Errorf("done, and %s is %s", s.Host, s.State)
		}
	}
	if m.Rollout.Phase == Done && failed > 0 {
		t.Errorf("done, and %d hosts have failed", failed)
	}
}

// TestShare reads and writes shares.
func TestShare(t *testing.T) {
	for text, want := range map[string]int{"1": 1, "3": 3, "25%": 2, "100%": 7, "1%": 1} {
		s, err := ParseShare(text)
		written, _ := s.MarshalText()
		if err != nil || s.of(7) != want || string(written) != text {
			t.Errorf("%s: %v of 7, %v, written %s", text, s.of(7), err, written)
		}
	}
	for _, text := range []string{"", "0", "-1", "0%", "101%", "x", "1.5", "%"} {
		if s, err := ParseShare(text); err == nil {
			t.Errorf("%q is %v", text, s)
		}
	}
}

// TestCompare says how hosts compare.
func TestCompare(t *testing.T) {
	for want, k := range map[Condition]Known{
		Current:     {Seen: true, Revision: 3, Released: 3},
		Other:       {Seen: true, Revision: 2, Released: 3},
		Edited:      {Seen: true, Released: 3},
		Pending:     {Seen: true, Revision: 2, Released: 3, Pending: true},
		Unreachable: {Seen: true, Failed: true, Revision: 3, Released: 3, Pending: true},
		Unseen:      {Released: 3},
		Changing:    {Seen: true, Busy: true, Failed: true},
	} {
		if got := Compare(k); got != want {
			t.Errorf("%+v: %s, want %s", k, got, want)
		}
	}
	if got := Compare(Known{Seen: true, Mixed: true, Revision: 3, Released: 3}); got != Edited {
		t.Errorf("runs another than the file: %s", got)
	}
}
