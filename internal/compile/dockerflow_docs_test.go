package compile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// flowFile is what Docker Flow's users read first.
const flowFile = "../../docs/docker-flow.md"

// acceptance is one case of the list that Fairway is held to, with where it is
// tested: a golden case here ("compile df-17"), a case of the behaviour suite
// ("behaviour filter-users"), or a test of another package ("dockerflow TestPull").
// A case without a place says why in its note.
type acceptance struct {
	number int
	title  string
	where  []string
	note   string
}

// acceptances are the cases 1 to 87.
var acceptances = []acceptance{
	{1, "ping", []string{"dockerflow TestSmallAnswers"}, ""},
	{2, "reconfigure without serviceName: 400", []string{"dockerflow TestAnswersOfReconfigure"}, ""},
	{3, "reconfigure with nothing to route: 409", []string{"dockerflow TestAnswersOfReconfigure", "compile df-03"}, ""},
	{4, "a path without a port: 400", []string{"dockerflow TestAnswersOfReconfigure", "compile df-03"}, "As a label it is a problem, and the path answers 503."},
	{5, "tcp without srcPort or port: 400", []string{"dockerflow TestAnswersOfReconfigure", "compile df-03"}, ""},
	{6, "the smallest service", []string{"dockerflow TestEcho", "compile df-06"}, ""},
	{7, "parameters that nobody knows", []string{"dockerflow TestPostedService", "compile df-06"}, ""},
	{8, "remove what is not there: 200", []string{"dockerflow TestRemove"}, ""},
	{9, "remove without a name: 400", []string{"dockerflow TestRemove"}, ""},
	{10, "remove a service", []string{"dockerflow TestRemove"}, "What nobody takes answers 404, not 503; see above."},
	{11, "PUT cert without a name or a body: 400; GET: 405", []string{"dockerflow TestCertificates"}, ""},
	{12, "PUT cert and TLS with that name", []string{"dockerflow TestCertificates", "certificates TestRunAnswersAfterPut", "compile TestCertificatesOfTheSnapshot"}, ""},
	{13, "config as text and JSON", []string{"dockerflow TestSmallAnswers", "dockerflow TestHAProxy", "app TestFaceShowsHAProxy"}, "The text is HAProxy's configuration where that is the engine, else Fairway's table."},
	{14, "reload with recreate", []string{"dockerflow TestSmallAnswers"}, "There is no file that could be damaged."},
	{15, "reload from the listener", []string{"dockerflow TestReloadFromListener"}, ""},
	{16, "successfulinitreload", []string{"dockerflow TestPull"}, ""},
	{17, "path /demo", []string{"compile df-17", "behaviour match-start"}, ""},
	{18, "two paths", []string{"compile df-17"}, ""},
	{19, "path exclude", []string{"compile df-17", "compile df-35"}, ""},
	{20, "domain only; port in Host", []string{"compile df-20", "compile df-20-default"}, ""},
	{21, "two domains, upper case", []string{"compile df-20"}, ""},
	{22, "*.foo.com, twice", []string{"compile df-20"}, ""},
	{23, "serviceDomainAlgo, serviceDomainMatchAll", []string{"compile df-20"}, ""},
	{24, "indices", []string{"compile df-24"}, ""},
	{25, "inherited values", []string{"compile df-24"}, ""},
	{26, "a gap", []string{"compile df-24"}, ""},
	{27, "index 2 alone", []string{"compile df-03", "dockerflow TestDestinations"}, ""},
	{28, "srcPort", []string{"compile df-28", "behaviour match-listener"}, ""},
	{29, "httpsPort", []string{"compile df-28"}, ""},
	{30, "userAgent", []string{"compile df-30"}, ""},
	{31, "serviceHeader", []string{"compile df-30"}, ""},
	{32, "/ last, /.well-known first", []string{"compile df-17"}, "The longest path wins, whatever it begins with."},
	{33, "aclName decides", []string{"compile df-33"}, "Between services that ask for the same requests and both have one."},
	{34, "isDefaultBackend", []string{"compile df-34"}, ""},
	{35, "path_reg -i with two expressions", []string{"compile df-35"}, ""},
	{36, "httpsOnly, its code, HTTPS_ONLY", []string{"compile df-36", "compile df-36-only", "behaviour filter-redirect"}, ""},
	{37, "redirects by X-Forwarded-Proto", []string{"compile df-36", "behaviour filter-redirect-forwarded"}, "The header counts from trusted proxies."},
	{38, "redirectFromDomain", []string{"compile df-36"}, ""},
	{39, "reqPathSearch and reqPathReplace", []string{"compile df-39", "behaviour filter-rewrite"}, ""},
	{40, "reqPathSearchReplace", []string{"compile df-39", "behaviour filter-rewrite"}, ""},
	{41, "headers", []string{"compile df-41", "compile df-41-separator", "behaviour filter-headers"}, ""},
	{42, "allowedMethods, deniedMethods", []string{"compile df-42", "behaviour filter-checks"}, ""},
	{43, "denyHttp", []string{"compile df-42", "behaviour filter-checks"}, ""},
	{44, "verifyClientSsl", []string{"compile df-42", "behaviour filter-checks", "enginetest clientCertKnown"}, ""},
	{45, "users", []string{"compile df-45", "behaviour filter-users", "embedded TestPasswordForms"}, ""},
	{46, "usersSecret, names only, unknown users", []string{"compile df-45", "behaviour filter-users"}, ""},
	{47, "global users, ignoreAuthorization", []string{"compile df-47"}, ""},
	{48, "compressionAlgo", []string{"compile df-42", "behaviour filter-compress"}, ""},
	{49, "sessionType=sticky-server", []string{"compile df-49", "embedded TestSticky"}, ""},
	{50, "timeoutServer, timeoutTunnel", []string{"compile df-42", "embedded TestTimeout", "embedded TestTCPIdle"}, ""},
	{51, "sslVerifyNone, outboundHostname", []string{"compile df-42", "embedded TestHTTPSBackend"}, ""},
	{52, "backendExtra", []string{"compile df-49", "compile df-52", "haproxy TestSnippets"}, "With HAProxy as the engine, where the operator allows it; otherwise the route is refused, and a problem says what to do."},
	{53, "discoveryType=DNS", []string{"compile df-49"}, "Instances are always found by Docker."},
	{54, "X-Forwarded-Proto, X-Forwarded-For", []string{"behaviour forwarded-tls", "behaviour forwarded-untrusted"}, ""},
	{55, "connectionMode", []string{"compile df-49"}, "Accepted without effect."},
	{56, "tcp", []string{"compile df-56", "behaviour tcp"}, ""},
	{57, "http and tcp in one service", []string{"compile df-56"}, ""},
	{58, "two tcp services on one port by server name", []string{"compile df-56", "embedded TestTCPServerName"}, ""},
	{59, "sni", []string{"compile df-59", "embedded TestTCPServerName"}, ""},
	{60, "serviceGroup", []string{"compile df-60"}, "Kept, with balanceGroup and checkTcp. Members that name another srcPort are served on their own."},
	{61, "timeoutClient, clitcpka", []string{"compile df-56", "embedded TestTCPIdle"}, "For each service, not for the port."},
	{62, "replicas", []string{"compile df-62"}, ""},
	{63, "a service that cannot be resolved", []string{"compile df-64", "dockerflow TestAddressIsChecked"}, ""},
	{64, "a parameter that is wrong", []string{"compile df-64", "dockerflow TestRefusedServiceIsTakenBack"}, ""},
	{65, "50 calls at once", []string{"dockerflow TestManyCallsAtOnce"}, "There is no reload to coalesce."},
	{66, "the same call twice", []string{"posted TestTheSameAgainIsTheSamePointer"}, ""},
	{67, "distribute with one replica down", []string{"dockerflow TestDistribute"}, ""},
	{68, "a new replica", []string{"app TestReadyWhenPulled", "dockerflow TestPull", "dockerflow TestCertificatesOfOtherReplicas"}, ""},
	{69, "the listener goes away", []string{"app TestReadyWhenPulled", "dockerflow TestPull"}, ""},
	{70, "two listeners, vanished services", []string{"dockerflow TestPull"}, ""},
	{71, "FILTER_PROXY_INSTANCE_NAME", []string{"compile df-71", "dockerflow TestOtherInstances"}, ""},
	{72, "services in the environment", []string{"dockerflow TestEnvironmentServices"}, ""},
	{73, "secrets in the place of variables", []string{"app TestSecretsGoBeforeVariables"}, ""},
	{74, "STATS_*", []string{"app TestStatisticsVariables", "app TestHAProxyHonoursVariables"}, "With HAProxy as the engine."},
	{75, "certificates, their order, ALPN", []string{"certificates TestReadFindsSoundFilesInOrder"}, ""},
	{76, "EXTRA_*, CAPTURE_REQUEST_HEADER, DEBUG*", []string{"app TestHAProxyVariables", "app TestHAProxyHonoursVariables", "app TestExtraLinesAreChecked"}, "With HAProxy as the engine; DEBUG writes the access log with any."},
	{77, "one notification for a new service", []string{"dockerflow TestConversation"}, ""},
	{78, "global services, short names, DF_NOTIFY_LABEL", []string{"compile df-78", "dockerflow TestNotificationTexts"}, ""},
	{79, "changes, and none", []string{"dockerflow TestConversation"}, ""},
	{80, "removal; the label is taken off", []string{"compile df-78", "dockerflow TestConversation"}, ""},
	{81, "receivers that fail, refuse, hang", []string{"dockerflow TestRetries", "dockerflow TestHangingReceiver"}, ""},
	{82, "the newest event wins", []string{"dockerflow TestNewestWins"}, ""},
	{83, "URLs of receivers", []string{"dockerflow TestConversation"}, ""},
	{84, "nodes", []string{"dockerflow TestConversation"}, ""},
	{85, "events that were missed", []string{"swarm TestMissedEvent"}, ""},
	{86, "answers of the listener", []string{"dockerflow TestListenerAnswers", "dockerflow TestWhoAsksIsShownNoSecrets", "dockerflow TestPullerThatIsNoReceiver"}, "Secrets, and labels of other programs, are for receivers alone; see above."},
	{87, "new engines, read-only sockets, TLS", []string{"swarm TestWithoutEvents"}, "And on real engines in test/e2e."},
}

// quirks say what became of the peculiarities of the original.
var quirks = []struct {
	id   string
	fate fate
	what string
}{
	{"Q1", fateFixed, "Configurations without a last line feed: nothing is written that HAProxy has to read."},
	{"Q2", fateFixed, "A star holds for its own name, after every change."},
	{"Q3", fateFixed, "Nothing is escaped on the way: `+`, `&` and `<` stay what they are."},
	{"Q4", fateFixed, "Values are text, never templates."},
	{"Q5", fateFixed, "redirectFromDomain without serviceDomain is a problem, and redirects nobody."},
	{"Q6", fateFixed, "pathType holds for each path of the list."},
	{"Q7", fateFixed, "Routes are told apart by service and index."},
	{"Q8", fateFixed, "serviceHeader may be indexed."},
	{"Q9", fateFixed, "A header's value begins behind the first colon, and never fails open."},
	{"Q10", fateFixed, "aclName goes with sni."},
	{"Q11", fateIgnored, "checkResolvers: addresses come from Docker."},
	{"Q12", fateFixed, "Compression is the service's own."},
	{"Q13", fateFixed, "Users of a service replace the global ones."},
	{"Q14", fateFixed, "X-Forwarded-Proto is set, and believed from trusted proxies only."},
	{"Q15", fateFixed, "A domain is compared as a whole name. `SERVICE_DOMAIN_ALGO=hdr_beg(host)`, or serviceDomainAlgo, brings the old way back."},
	{"Q16", fateKept, "`/demo` takes `/demolition`."},
	{"Q17", fateFixed, "The service at fault is refused, and no other."},
	{"Q18", fateDropped, "Templates."},
	{"Q19", fateFixed, "Nothing is left behind by a changed aclName."},
	{"Q20", fateFixed, "Names are no paths."},
	{"Q21", fateFixed, "Passwords, keys, headers and lines of HAProxy's configuration are not shown; the calls need no password unless one is set."},
	{"Q22", fateFixed, "A listener for TLS without a certificate is not opened."},
	{"Q23", fateKept, "remove answers 200 for what is not there; the status of a failed reload is NOK."},
	{"Q24", fateKept, "409 for a service without path and domain; as labels they are left alone."},
	{"Q25", fateKept, "Unknown parameters are ignored; values without an index are defaults; a gap ends the indices, of which there are ten."},
	{"Q26", fateKept, "replicas=0 takes the service out, no replicas at all do not; what is no number is ignored."},
	{"Q27", fateFixed, "reqMode in any case."},
	{"Q28", fateFixed, "A member that names another srcPort is served there; backendExtra stands where it belongs, or is refused."},
	{"Q29", fateFixed, "Everything is sorted."},
	{"Q30", fateIgnored, "discoveryType: instances are always found by Docker."},
	{"Q31", fateFixed, "Services in the environment are read like all others."},
	{"Q32", fateKept, "distribute is false in the API unless it is said."},
	{"Q33", fateFixed, "What has gone from the listener goes here, too."},
	{"Q34", fateFixed, "A listener that goes away changes nothing."},
	{"Q35", fateFixed, "notify must be true; a label that is taken off is a removal."},
	{"Q36", fateFixed, "Instances take requests when they run and are well."},
	{"Q37", fateFixed, "Metrics begin with fairway_."},
	{"Q38", fateIgnored, "connectionMode."},
	{"Q39", fateFixed, "X-Forwarded-For is believed from trusted proxies only."},
	{"Q40", fateFixed, "Sticky clients follow the instances as they come and go."},
	{"Q41", fateFixed, "Nothing is shared between services."},
	{"Q42", fateKept, "MODE and CERTS are accepted."},
}

// places are the packages in which acceptance cases are tested.
var places = map[string]string{
	"compile": ".", "enginetest": "../engine/enginetest", "dockerflow": "../dockerflow", "embedded": "../engine/embedded", "swarm": "../discovery/swarm",
	"posted": "../discovery/posted", "certificates": "../discovery/certificates", "app": "../app", "haproxy": "../engine/haproxy",
}

// TestAcceptanceCases demands that every case is there, and tested where the list
// says so, or has a reason.
func TestAcceptanceCases(t *testing.T) {
	if len(acceptances) != 87 {
		t.Errorf("%d cases, want 87", len(acceptances))
	}
	for i, a := range acceptances {
		if a.number != i+1 {
			t.Errorf("case %d stands where %d should", a.number, i+1)
		}
		if a.where == nil && a.note == "" {
			t.Errorf("case %d is tested nowhere", a.number)
		}
		for _, where := range a.where {
			if err := isTested(where); err != nil {
				t.Errorf("case %d: %v", a.number, err)
			}
		}
	}
}

// isTested says whether a place of an acceptance case exists.
func isTested(where string) error {
	place, name, _ := strings.Cut(where, " ")
	switch place {
	case "compile":
		if strings.HasPrefix(name, "Test") {
			break
		}
		_, err := os.Stat("testdata/" + name + ".txtar")
		return err
	case "behaviour":
		_, err := os.Stat("../engine/enginetest/testdata/" + name + ".txtar")
		return err
	}
	files, err := filepath.Glob(places[place] + "/*.go")
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return nil
		}
	}
	return fmt.Errorf("there is no %s", where)
}

// TestFlowReference holds docs/docker-flow.md to the table of parameters and the
// lists here.
func TestFlowReference(t *testing.T) {
	want := flowReference()
	if *update {
		if err := os.WriteFile(flowFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(flowFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not current (run with -update to write it):\n%s", flowFile, diff)
	}
}

// flowReference prints docs/docker-flow.md.
func flowReference() string {
	var b strings.Builder
	b.WriteString(`# Docker Flow

This page is printed from the table that labels are read with (` + "`internal/compile/dockerflow_keys.go`" + `) and the list of
acceptance cases beside it; tests keep both current.

Labels that begin with ` + "`com.df.`" + ` are read when Docker Flow is switched on. They belong to services, under ` + "`deploy.labels`" + `
in a stack file; outside Swarm, those of containers count. A service may have labels of both kinds; each makes its own routes:
` + "`<service>/com.df`" + `, or ` + "`<service>/com.df.1`" + ` for the first destination, and so on.

What differs from the original in every case:

- A label that is wrong costs its own route, which keeps its last good form or answers 503; no other service notices. ` + "`fairway problems`" + `
  says what to do.
- Requests go to the instances themselves, not to the virtual address of the service. There is no polling, and no reload.
- Hosts and paths that nobody takes answer 404, not 503, unless a service is the default backend.
- Of several routes that take a request, the one with the more specific host, then the longer path, then more conditions wins;
  aclName decides between services that ask for exactly the same. Where only one of two has an aclName, the one that was
  there first has the requests.
- Connections that are passed through (reqMode tcp and sni) need a port that the operator allows, and that no listener for HTTP has.
- A service with redirects or passwords that cannot be understood is never served without them.
- ` + "`get-services` and `get-nodes`" + ` of the Swarm Listener answer everybody, but secrets and labels of other programs are for receivers: callers
  whose address DNS has for the name in a URL of ` + "`DF_NOTIFY_*_URL`" + `, or for ` + "`tasks.<name>`" + `. For all others such parameters are left out
  (nothing stands in their place), and so is a service that would be less protected without them: with passwords in users,
  credentials in serviceHeader, or backendExtra. The log says so once. A proxy that pulls from the listener must be one of its receivers.

## Parameters

*Kept* is as it was; *fixed* is kept but for what was wrong with it; *no effect* is accepted and not needed; *dropped* is a problem
that says what to use. Those with an N may have an index, from .1 to .10. The last column is how the same is said in labels of
Fairway. Parameters that are not listed are ignored, as they always were.

| com.df. | N | | meaning | instead |
|---|---|---|---|---|
`)
	for _, k := range flowKeys {
		indexed := ""
		if k.indexed {
			indexed = "N"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.name, indexed, k.fate, cell(k.meaning), cell(k.native))
	}
	b.WriteString("\n## Peculiarities of the original\n\n| | | now |\n|---|---|---|\n")
	for _, q := range quirks {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", q.id, q.fate, cell(q.what))
	}
	b.WriteString(`
## Acceptance cases

Where each is tested: *compile* is ` + "`internal/compile/testdata`" + `, *behaviour* ` + "`internal/engine/enginetest/testdata`" + `, which every
engine passes; the others are tests of packages.

| | case | tested by | |
|---|---|---|---|
`)
	for _, a := range acceptances {
		where := make([]string, len(a.where))
		for i, w := range a.where {
			where[i] = "`" + w + "`"
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", a.number, cell(a.title), strings.Join(where, ", "), cell(a.note))
	}
	return b.String()
}
