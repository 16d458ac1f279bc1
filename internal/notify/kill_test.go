package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/metrics"
	"fairway/internal/testkit"
)

// killedChild tells events until it is killed, and says which of them were taken.
func killedChild(dir string) {
	n, err := New(Options{
		Dir: dir, Feed: &catalog.Feed{}, Metrics: &metrics.Set{},
		Channels: []Channel{{Name: "ops", Kind: KindWebhook, URL: os.Getenv("FAIRWAY_NOTIFY_URL"), Rate: "100000/100s"}},
	})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1) //nolint:revive // a child of the test
	}
	go func() { _ = n.Run(context.Background()) }()
	from, _ := strconv.Atoi(os.Getenv("FAIRWAY_NOTIFY_FROM"))
	most, _ := strconv.Atoi(os.Getenv("FAIRWAY_NOTIFY_MOST"))
	for i := from; i < from+most; i++ {
		fmt.Println("telling", i)
		if err := n.Report(numbered(i, i+1)...); err != nil {
			fmt.Println("error", err)
			os.Exit(1) //nolint:revive // a child of the test
		}
		fmt.Println("told", i)
	}
	for n.Channels()[0].Pending > 0 {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("delivered", from+most)
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
}

// TestKilled kills the process again and again: what was taken is delivered, in
// order for each subject, and at most one message twice for each time.
func TestKilled(t *testing.T) {
	kills := 20
	switch {
	case testkit.Soaking():
		kills = 1000
	case testing.Short():
		kills = 5
	}
	dir := t.TempDir()
	var mu sync.Mutex
	var got []int
	ids := map[int]map[string]bool{}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct{ Data struct{ ID, Text string } }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			return // the sender was killed
		}
		mu.Lock()
		defer mu.Unlock()
		i, err := strconv.Atoi(strings.TrimPrefix(body.Data.Text, "event "))
		if err != nil || r.Header.Get("Webhook-Id") != body.Data.ID {
			t.Errorf("message %+v", body)
		}
		got = append(got, i)
		if ids[i] == nil {
			ids[i] = map[string]bool{}
		}
		ids[i][body.Data.ID] = true
	}))
	defer receiver.Close()

	next := 0
	told := map[int]bool{}
	maybe := map[int]bool{} // killed while telling
	// run has a child tell so many events and kills it after it has said so many
	// lines, or when everything is delivered.
	run := func(lines, most int) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "FAIRWAY_NOTIFY_CHILD="+dir, "FAIRWAY_NOTIFY_URL="+receiver.URL,
			"FAIRWAY_NOTIFY_FROM="+strconv.Itoa(next), "FAIRWAY_NOTIFY_MOST="+strconv.Itoa(most))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(out)
		for said.Scan() {
			verb, number, _ := strings.Cut(said.Text(), " ")
			i, err := strconv.Atoi(number)
			if err != nil {
				t.Fatalf("child says %q", said.Text())
			}
			if lines--; lines == 0 || verb == "delivered" {
				_ = cmd.Process.Kill() // what it says until that has come counts, too
			}
			switch verb {
			case "told":
				told[i] = true
				delete(maybe, i)
			case "telling":
				maybe[i] = true
			default:
				continue
			}
			next = i + 1
		}
		_ = cmd.Wait() // it was killed
	}
	for i := range kills {
		lines := 1 + 3*i
		if testkit.Soaking() {
			lines = 1 + rand.IntN(60)
		}
		run(lines, 1_000_000)
	}
	run(1_000_000, 0) // what is left is delivered
	mu.Lock()
	defer mu.Unlock()
	seen, last, twice := map[int]bool{}, map[int]int{}, 0
	for _, i := range got {
		switch {
		case seen[i]:
			twice++
			continue
		case !told[i] && !maybe[i]:
			t.Errorf("event %d was never told", i)
		case i < last[i%3]:
			t.Errorf("event %d came after %d", i, last[i%3])
		}
		seen[i], last[i%3] = true, i
	}
	for i := range told {
		if !seen[i] {
			t.Errorf("event %d is lost", i)
		}
	}
	for i, of := range ids {
		if len(of) > 1 {
			t.Errorf("event %d came with %d IDs", i, len(of))
		}
	}
	if twice > kills+1 {
		t.Errorf("%d came twice after %d kills", twice, kills)
	}
	if len(told) == 0 {
		t.Error("nothing was told")
	}
	testkit.Figure(t, "outbox killed while events are told", "%d kills: %d events taken, %d delivered, %d of them twice", kills, len(told), len(seen), twice)
}
