package demo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A demo that is killed cannot clean up. The next one finds what is left by its
// directory, which carries the process number.
const (
	dirPrefix = "fairway-demo-"
	// imageNote is the file in the directory that names the image.
	imageNote = "image"
)

// makeDir makes the directory of this run.
func makeDir() (string, error) {
	return os.MkdirTemp("", fmt.Sprintf("%s%d-", dirPrefix, os.Getpid()))
}

// removeLeftovers removes the directories of killed runs, each after
// removeImage, which is nil when there is no engine, has removed the image that
// it names.
func removeLeftovers(removeImage func(ref string) error) error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	if err != nil {
		return err
	}
	var failed []error
	for _, dir := range dirs {
		text, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		pid, err := strconv.Atoi(text)
		if err != nil || alive(pid) {
			continue
		}
		image, err := os.ReadFile(filepath.Join(dir, imageNote))
		if err == nil {
			if removeImage == nil {
				continue // a later run, with an engine, can do both
			}
			if err := removeImage(string(image)); err != nil {
				failed = append(failed, err)
				continue
			}
		}
		if err := os.RemoveAll(dir); err != nil && !errors.Is(err, os.ErrPermission) { // of another user
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// alive reports whether there is a process of that number.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
