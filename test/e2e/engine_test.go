//go:build e2e

package e2e

import (
	"archive/tar"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairway/internal/engine/haproxy/socket"
)

// FAIRWAY_E2E_ENGINE=haproxy runs every Fairway of these tests with HAProxy as its
// engine.
func underHAProxy() bool { return os.Getenv("FAIRWAY_E2E_ENGINE") == "haproxy" }

// engineEnviron is what tells a Fairway its engine.
func engineEnviron() []string {
	if !underHAProxy() {
		return nil
	}
	return []string{"FAIRWAY_ENGINE=haproxy"}
}

// endHAProxy ends the HAProxy that a Fairway with this state directory has left to
// the next one.
func endHAProxy(t *testing.T, state string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	list, err := socket.NewMaster(filepath.Join(state, "haproxy", "master.sock"), 0).Processes(ctx)
	if err != nil {
		return // it has ended
	}
	if err := syscall.Kill(list.Master.PID, syscall.SIGTERM); err != nil {
		t.Errorf("HAProxy is left behind: %v", err)
	}
}

// haproxyFiles are the program and its libraries.
func haproxyFiles() ([]string, error) {
	program, err := exec.LookPath("haproxy")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/haproxy"); err != nil {
			return nil, err
		}
	}
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		return nil, fmt.Errorf("ldd: %w", err)
	}
	files := []string{program}
	for word := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(word, "/") {
			files = append(files, strings.TrimSuffix(word, ":"))
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// addHAProxy puts HAProxy into an image.
func addHAProxy(tw *tar.Writer) error {
	files, err := haproxyFiles()
	if err != nil {
		return err
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(file, "/"), Mode: 0o755, Size: int64(len(body))}); err != nil {
			return err
		}
		if _, err := tw.Write(body); err != nil {
			return err
		}
	}
	return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o777})
}
