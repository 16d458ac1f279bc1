package app

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

// TestUserFileThatCannotBeRead: it is a problem that is reported everywhere and clears
// by itself, on both engines, and no label delays the routes of others.
func TestUserFileThatCannotBeRead(t *testing.T) {
	for _, engine := range []string{EngineEmbedded, EngineHAProxy} {
		t.Run(engine, func(t *testing.T) {
			if engine == EngineHAProxy {
				needHAProxy(t)
			}
			dir := shortDir(t)
			file, users, fifo := filepath.Join(dir, "services.yml"), filepath.Join(dir, "users"), filepath.Join(dir, "fifo")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			address := backend(t, "one")
			service := func(name, auth string) string {
				return fmt.Sprintf("  - {name: %s, labels: {fairway.host: %s.example%s}, instances: [{address: %q}]}\n", name, name, auth, address)
			}
			writeServices(t, file, "services:\n"+
				service("one", `, fairway.basic-auth: "file:`+users+`"`)+
				service("fifo", `, fairway.basic-auth: "file:`+fifo+`"`)+
				service("shadow", `, fairway.basic-auth: "file:/etc/shadow"`))
			p := startProgram(t, file, filepath.Join(dir, "s"), func(cfg *Config) {
				cfg.Engine, cfg.LabelFiles, cfg.Notify.Settle = engine, []string{dir}, 0
			})
			c := p.client(t)
			problem := func(service, code, text string) {
				t.Helper()
				testkit.Eventually(t, "the problem of "+service, func() string {
					list, err := c.Problems(t.Context(), api.Query{})
					if err != nil {
						return err.Error()
					}
					for _, p := range list.Items {
						if strings.HasPrefix(p.Service, service+"@") && p.Code == code && p.Label == "fairway.basic-auth" && strings.Contains(p.Text, text) {
							return ""
						}
					}
					return fmt.Sprintf("%+v", list.Items)
				})
			}
			event := func(kind string) {
				t.Helper()
				testkit.Eventually(t, "the event "+kind, func() string {
					list, err := c.Events(t.Context(), api.EventQuery{Kind: kind})
					if err != nil {
						return err.Error()
					}
					if slices.ContainsFunc(list.Items, func(e api.Event) bool { return strings.Contains(e.Subject, "one@") }) {
						return ""
					}
					return fmt.Sprintf("%+v", list.Items)
				})
			}
			served := func(want bool) string {
				list, err := c.Doctor(t.Context(), "one")
				if err != nil || len(list.Items) != 1 || list.Items[0].Served != want {
					return fmt.Sprintf("%v: %+v", err, list.Items)
				}
				return ""
			}

			problem("fifo", "user-file", "not a regular file")
			problem("shadow", "bad-value", "not below a directory that labels may name: "+dir)
			problem("one", "user-file", "no such file")
			event("problem.new")
			if why := served(false); why != "" {
				t.Errorf("doctor: %s", why)
			}
			for _, host := range []string{"one.example", "fifo.example", "shadow.example"} {
				told, err := c.Explain(t.Context(), api.ExplainRequest{URL: "http://" + host + "/"})
				if err != nil || told.Status != http.StatusServiceUnavailable {
					t.Errorf("explain %s: %v %+v", host, err, told)
				}
				if status, body := p.get(host, "/"); status != http.StatusServiceUnavailable {
					t.Errorf("%s: %d %s", host, status, body)
				}
			}
			// The loop goes on.
			writeServices(t, file, "services:\n"+service("later", "")+service("fifo", `, fairway.basic-auth: "file:`+fifo+`"`)+
				service("one", `, fairway.basic-auth: "file:`+users+`"`))
			testkit.Eventually(t, "a service that comes later", func() string {
				if status, body := p.get("later.example", "/"); status != http.StatusOK {
					return fmt.Sprint(status, body)
				}
				return ""
			})

			if err := os.WriteFile(users, []byte("ann:rqXexS6ZhobKA\nbob:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			problem("one", "locked-users", users+" has lines that lock their user: line 1: user ann: the hash is DES-crypt")
			event("problem.solved")
			testkit.Eventually(t, "doctor", func() string { return served(true) })
			testkit.Eventually(t, "the file counts", func() string {
				if status, body := p.get("one.example", "/"); status != http.StatusUnauthorized {
					return fmt.Sprint(status, body)
				}
				return ""
			})
			p.stop()
		})
	}
}
