package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"fairway/internal/app"
)

// The reference pages are made from the command line and the configuration
// themselves; run the test with -update after a change.
func TestDocsAreCurrent(t *testing.T) {
	p, err := newParser(&grammar{}, newCLI(nil, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"../../docs/cli.md": cliPage(p), "../../docs/config.md": configPage()} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is not current; run: go test ./cmd/fairway -run Docs -update\n%s", path, diff)
		}
	}
}

// The examples in docs/config.md pass, and the routes are those one expects.
func TestConfigExamples(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir(".ssh", 0o700); err != nil {
		t.Fatal(err)
	}
	both, _ := keyPair(t)
	for name, text := range map[string]string{
		"shop.pem": string(both), "shop.key": string(both), ".ssh/known_hosts": "",
		"fairway.yml": configExample + strings.NewReplacer("  basic-auth: file:/run/secrets/users\n", "", "basic-auth", "max-body").Replace(defaultsExample), "services.yml": servicesExample,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr := runAt(t, []string{"SSH_AUTH_SOCK=/run/agent"}, "check", "fairway.yml", "services.yml")
	if code != exitOK || !strings.Contains(stdout, "shop.example.com/demo") {
		t.Errorf("code %d: %s%s", code, stdout, stderr)
	}
}

func cliPage(p *parser) string {
	var b strings.Builder
	b.WriteString("# Commands\n\n<!-- Made by cmd/fairway/docs_test.go with -update. -->\n\n")
	b.WriteString(p.Model.Help + "\n\n")
	b.WriteString("Answers go to standard output, everything else to standard error, errors as `fairway: …`. Text is aligned for\n" +
		"people and, on a terminal, coloured and fitted to its width (elsewhere to `COLUMNS`, where that is set): columns of\n" +
		"lesser importance leave before names are cut, and those without any text are left out; `-o wide` has all columns and\n" +
		"cuts nothing; `-o json` is for programs and keeps its meaning. `-o csv` writes a list with all its columns and a header\n" +
		"(RFC 4180; lines end with a line feed); a cell that a spreadsheet would take for a formula begins with an apostrophe.\n" +
		"Times are those of this machine's zone, or of `TZ`; `--utc` shows UTC, written with a Z, as `-o json` and `-o csv` always do.\n" +
		"Control characters are escaped everywhere.\n\n")
	codes, _ := strings.CutPrefix(exitCodes, "Exit codes:\n\n")
	b.WriteString("## Exit codes\n\n| code | meaning |\n|---|---|\n")
	for line := range strings.Lines(codes) {
		code, meaning, _ := strings.Cut(strings.TrimSpace(line), " ")
		fmt.Fprintf(&b, "| %s | %s |\n", code, strings.TrimSpace(meaning))
	}
	b.WriteString("\n`healthcheck` knows 0 and 1 alone, as Docker does.\n\n## Flags of every command\n\n")
	writeFlags(&b, p.Model.Flags)
	for _, n := range p.Model.Leaves(true) {
		fmt.Fprintf(&b, "\n## fairway %s\n\n%s\n\n```\nfairway %s\n```\n", n.Path(), n.Help, n.Summary())
		writeDetail(&b, n.Detail)
		writeArguments(&b, n.Positional)
		var own []*kong.Flag
		keys := false
		for _, f := range n.Flags {
			if f.Group != nil && strings.HasPrefix(f.Group.Key, "config.") {
				keys = true
			} else {
				own = append(own, f)
			}
		}
		if len(own) > 0 {
			b.WriteString("\n")
			writeFlags(&b, own)
		}
		if keys {
			b.WriteString("\nEvery key of the [configuration](config.md) is a flag, too.\n")
		}
	}
	return b.String()
}

// writeDetail writes help text; what is indented there are examples.
func writeDetail(b *strings.Builder, detail string) {
	for block := range strings.SplitSeq(strings.TrimSpace(detail), "\n\n") {
		switch lines := strings.Split(block, "\n"); {
		case block == "" || block == "Examples:":
		case strings.HasPrefix(block, "    "):
			b.WriteString("\n```\n")
			for _, line := range lines {
				b.WriteString(strings.TrimPrefix(line, "    ") + "\n")
			}
			b.WriteString("```\n")
		default:
			b.WriteString("\n" + strings.Join(lines, " ") + "\n")
		}
	}
}

func writeArguments(b *strings.Builder, arguments []*kong.Positional) {
	if len(arguments) == 0 {
		return
	}
	b.WriteString("\n| argument | meaning |\n|---|---|\n")
	for _, a := range arguments {
		fmt.Fprintf(b, "| `%s` | %s |\n", a.Summary(), tableText(a.Help))
	}
}

func writeFlags(b *strings.Builder, flags []*kong.Flag) {
	b.WriteString("| flag | meaning |\n|---|---|\n")
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		name := "--" + f.Name
		if !f.IsBool() {
			name += " " + f.FormatPlaceHolder()
		}
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", " + name
		}
		help := f.Help
		if f.HasDefault {
			help = strings.TrimSuffix(help, ".") + ". Default: " + f.Default + "."
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", name, tableText(help))
	}
}

func tableText(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

const configExample = `listen: ":8000"
listen-tls: ":8443"
tls:
  certificates:
    - {cert: shop.pem, key: shop.key}   # or "shop.pem,shop.key", or one file with both
trusted-proxies: [10.0.0.0/8]
admin:
  listen: 0.0.0.0:8081
  tls-cert: shop.pem
  tls-key: shop.key
docker:
  - unix:///var/run/docker.sock
  - ssh://ops@edge2.example.com
file: services.yml
access-log: "-"
log: {format: json}
`

const defaultsExample = `defaults:
  redirect-https: true
  compress: true
  max-body: 10MB
  basic-auth: file:/run/secrets/users
  headers:
    response:
      set: {X-Content-Type-Options: nosniff, Strict-Transport-Security: max-age=31536000}
      remove: [Server]
  locked: [basic-auth]
`

const servicesExample = `services:
  - name: shop
    labels: {fairway.host: shop.example.com, fairway.path: /demo}
    instances:
      - {address: "10.0.0.5:8080"}
      - {address: "10.0.0.6:8080", weight: 50}
  - name: gone          # exists, but has no instance: its requests get 503, not 404
    labels: {fairway.host: gone.example.com}
`

func configPage() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Made by cmd/fairway/docs_test.go with -update. -->

Nothing needs to be configured. Every key can be given in three places; later places win:

1. in the file: ` + "`./fairway.yml`, else `/etc/fairway/fairway.yml`, or the one that `--config` or `FAIRWAY_CONFIG` names" + `;
2. in the environment: ` + "`FAIRWAY_` and the key in capitals, with `_` for `.` and `-`; an empty variable counts as not set" + `;
3. as a flag: ` + "`--` and the key" + `.

A key that was given in a later place replaces what earlier places say, lists included. An unknown key in the file is
an error that names the line and the nearest key. All faults are reported at once, each with key, value, reason and
origin. ` + "`fairway check fairway.yml` validates a file and those that it names; `fairway config` prints every value with its origin." + `

Passwords and keys are never values, always files. Paths are relative to the working directory.
Changes need a restart, except to the contents of certificates and services files, which are reread.

` + "```yaml\n" + configExample + "```\n" + `
| key | environment | default | meaning |
|---|---|---|---|
`)
	for _, f := range app.Fields(new(app.Config)) {
		def := f.Default
		if def == "" {
			def = "–"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", f.Name, f.Env, tableText(def), tableText(f.Help))
	}
	b.WriteString(`
Lists take several values: in the file as a list, as a flag by repeating it or separated by commas (certificates:
semicolons; channels, rules and roles: line ends), in the environment separated the same way. Those are records: in the
file a mapping each, as a flag the same in braces, ` + "`--rules '{name: hot, when: \"node.cpu > 90% for 5m\"}'`" + `. Durations are written ` + "`50ms`, `30s`, `5m`." + `

` + "`DOCKER_HOST`, with `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH`," + ` is honoured when none of ` + "`docker`, `swarm` and `file`" + ` is given, and for ` + "`swarm: local`" + `.
A tcp:// engine without TLS is refused unless ` + "`docker-insecure`" + ` is set: whoever reaches it is root on that machine.

## Defaults

` + "`defaults`" + ` is what every route has unless its own label says otherwise. The keys are those of the [labels](labels.md), without ` + "`fairway.`" + `:

` + "```yaml\n" + defaultsExample + "```" + `

A label goes before a default of the same key, or of the same header. ` + "`false`, `off` or `0`" + ` takes a default off; so does ` + "`headers.response.remove`" + ` for a
header. A default that has no meaning for a route is left out: a route with the scheme ` + "`tcp`" + ` has ` + "`ip-allow`, `idle`, `balance`, `slow-start` and `max-fails`" + ` alone.
Labels of Docker Flow go before defaults in the same way. A default that cannot be read is a fault of the configuration, with its line.

No default opens anything. To protect all services unless their labels say otherwise, set ` + "`ip-allow` or `basic-auth`" + `. What must hold for every service goes
into ` + "`locked`" + ` as well: a label that changes or takes off a locked default, also to something stricter or to the same in other words, is a problem, and its route answers 503: only
the same text is let through. After a lock a table from before it, of a rollback or of the last run, has 503 for routes without a locked ` + "`ip-allow`, `basic-auth`,\n`redirect-https`, `rate-limit` or `max-body`" + `; other defaults in it are as they were. A route that passes connections
through has no ` + "`basic-auth`" + `: ` + "`tcp-ports`" + ` says which ports labels may open.

` + "`fairway explain` and `fairway doctor`" + ` say which defaults a route has; the history names a changed default as the cause of a table.

## Error pages

` + "`error-pages`" + ` names directories of pages for browsers, where Fairway itself answers with an error. Without one, browsers get a plain page of Fairway's own.
Programs get a line of text, or JSON where they ask for it, in any case.

` + "```yaml\n" + `error-pages:
  - {name: default, dir: /etc/fairway/errors}      # for all routes that name no set, and for unknown hosts
  - {name: brand, dir: /etc/fairway/errors/brand}  # for routes with the label fairway.error-pages=brand
` + "```" + `

A directory has ` + "`404.html`, `4xx.html`, `5xx.html` or `default.html`" + `: the page of the status goes before that of its class, and that before the one for all; where there is
none, Fairway's own is used. Other names with ` + "`.html`" + ` are a fault. In a page ` + "`{status}`, `{reason}`, `{host}` and `{request_id}`" + ` stand for what is known, escaped. Behind it a
comment says why Fairway answers. A page has at most 64 KiB and holds all that it needs: it may be the answer to any path. The files are reread within seconds;
pages that cannot be used leave those before, and the log says why. With HAProxy that is a reload, and a page is sent in one line, so scripts in it have no ` + "`//`" + ` comments;
it has at most 12 KiB then, of which every character beyond ASCII takes 6 to 9 bytes and ` + "`{host}`" + ` 253. A service in [maintenance](history.md#drain-weight-pause-maintenance) has a page with the operator's message.

Answers of services stay as they are.

## Services files

A services file names what has no API of its own. It is watched; while it is missing or has a fault, what it said before
is served on. An instance needs an ` + "`address` and may have a `weight` (1 to 256), a `name` and a `node`." + `

` + "```yaml\n" + servicesExample + "```\n")
	return b.String()
}
