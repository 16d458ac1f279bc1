package enginetest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// ErrUnsupported is wrapped by what Apply returns for a table that the engine
// refuses to serve, because it could not do so as it is meant.
var ErrUnsupported = errors.New("the engine refuses it")

// Report is how an engine with known differences went through the suite.
type Report struct {
	// Complete is true when all cases were played.
	Complete bool
	// Identical is how many passed.
	Identical int
	// Refused are the cases whose tables the engine refuses to serve, Differing
	// those in which it answers differently, by name ("data/filter-headers"), with
	// what the suite finds.
	Refused, Differing map[string]string
	// Gone are the known differences that are none: these cases passed.
	Gone []string
}

// RunKnown is Run for an engine that is known to differ: known holds the names of
// cases ("data/filter-headers") that it need not pass. Those with ErrUnsupported
// count as refused. It returns when all cases are over.
func RunKnown(t *testing.T, start func(t *testing.T) Engine, known map[string]bool) Report {
	t.Helper()
	var (
		mu  sync.Mutex
		all int
		r   = Report{Refused: map[string]string{}, Differing: map[string]string{}}
	)
	there := map[string]bool{}
	for _, g := range groups(t) {
		all += len(g.cases)
		for _, c := range g.cases {
			there[g.name+"/"+c.name] = true
		}
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				name := g.name + "/" + c.name
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					if !known[name] {
						c.run(newWorld(t, func() Engine { return start(t) }))
						if t.Failed() {
							return
						}
						mu.Lock()
						defer mu.Unlock()
						r.Identical++
						return
					}
					v := c.judge(t, func() Engine { return start(t) })
					mu.Lock()
					defer mu.Unlock()
					switch said := strings.Join(v.said, "\n"); {
					case v.refused:
						r.Refused[name] = said
					case said == "":
						r.Gone = append(r.Gone, name)
					default:
						r.Differing[name] = said
					}
				})
			}
		})
	}
	for name := range known {
		if !there[name] {
			t.Errorf("there is no case %q", name)
		}
	}
	slices.Sort(r.Gone)
	r.Complete = r.Identical+len(r.Refused)+len(r.Differing)+len(r.Gone) == all
	return r
}

// judge plays a case and returns what the suite says of it.
func (c goCase) judge(t testing.TB, start func() Engine) *verdict {
	v := &verdict{TB: t}
	var wg sync.WaitGroup
	wg.Go(func() {
		w := newWorld(v, start)
		w.differs = true
		c.run(w)
	})
	wg.Wait()
	return v
}

// verdict is a testing.TB that keeps what it is told to itself.
type verdict struct {
	testing.TB
	mu      sync.Mutex
	said    []string
	refused bool
}

func (v *verdict) say(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.said = append(v.said, text)
}

// Helper and the others are those of testing.TB.
func (v *verdict) Helper() {}

// Error notes what is wrong.
func (v *verdict) Error(args ...any) { v.say(fmt.Sprint(args...)) }

// Errorf notes what is wrong.
func (v *verdict) Errorf(f string, args ...any) { v.say(fmt.Sprintf(f, args...)) }

// Fatal notes what is wrong, and ends the case.
func (v *verdict) Fatal(args ...any) { v.Error(args...); runtime.Goexit() }

// Fatalf notes what is wrong, and ends the case.
func (v *verdict) Fatalf(f string, args ...any) {
	for _, a := range args {
		if err, ok := a.(error); ok && errors.Is(err, ErrUnsupported) {
			v.refused = true
		}
	}
	v.Errorf(f, args...)
	runtime.Goexit()
}

// Skip ends the case.
func (v *verdict) Skip(...any) { runtime.Goexit() }

// Skipf ends the case.
func (v *verdict) Skipf(string, ...any) { runtime.Goexit() }
