package driver

import (
	"context"
	"errors"
	"testing"
)

// TestReadable: a container that has ended, and an answer that does not come, are
// written for people.
func TestReadable(t *testing.T) {
	for text, want := range map[string]string{
		"docker exec: No such exec instance: 34e0cca6":                                   "docker exec: the container has ended",
		"a; docker exec: Error response from daemon: Container 211b25 is not running; b": "a; docker exec: the container has ended; b",
		"docker list containers: context deadline exceeded":                              "docker list containers: no answer in time",
	} {
		if got := readable(errors.New(text)).Error(); got != want {
			t.Errorf("%s\nis %s\nnot %s", text, got, want)
		}
	}
	if err := readable(&AbsentError{context.DeadlineExceeded}); !errors.As(err, new(*AbsentError)) || !errors.Is(err, context.DeadlineExceeded) || readable(nil) != nil {
		t.Error("an error does not stay what it is")
	}
}
