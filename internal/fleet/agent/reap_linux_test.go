package agent

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"

	"fairway/internal/testkit"

	"golang.org/x/sys/unix"
)

// Orphans are reaped, and the children of others are left to them.
func TestReap(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Skip("orphans cannot be made to fall to us: ", err)
	}
	t.Cleanup(func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { reap(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	// The shell ends at once; its child falls to us and ends later.
	if err := exec.Command("sh", "-c", "(sleep 0.3; exit 3) &").Run(); err != nil {
		t.Fatal(err)
	}
	own := exec.Command("sh", "-c", "exit 7")
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	seen := false
	testkit.Eventually(t, "the zombie is seen, and gone", func() string {
		left := zombies(os.Getpid())
		left = slices.DeleteFunc(left, func(pid int) bool { return pid == own.Process.Pid })
		seen = seen || len(left) > 0
		if seen && len(left) == 0 {
			return ""
		}
		return fmt.Sprintf("zombies %v, seen %v", left, seen)
	})
}
