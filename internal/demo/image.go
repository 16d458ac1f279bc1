package demo

import (
	"archive/tar"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// buildTime bounds the rebuilding of this program, a minute on two cores.
const buildTime = 10 * time.Minute

// staticBinary returns the path of a program that runs in an empty image: the
// executable, or a fresh build of it in dir where Go and the source are there.
func staticBinary(ctx context.Context, p *printer, executable, dir string) (string, error) {
	reason := checkStatic(executable)
	if reason == nil {
		return executable, nil
	}
	source, err := sourceRoot()
	if err != nil {
		return "", errors.Join(reason, err)
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		return "", errors.Join(reason, err)
	}
	ctx, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	binary := filepath.Join(dir, "fairway")
	build := exec.CommandContext(ctx, tool, "build", "-o", binary, "./cmd/fairway")
	build.Dir = source
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	var out []byte
	err = p.step(fmt.Sprintf("building a static binary, %v", reason), func() (err error) {
		out, err = build.CombinedOutput()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("go build: %w: %.500s", err, out)
	}
	return binary, checkStatic(binary)
}

// checkStatic returns why a program does not run in an empty image, or nil.
func checkStatic(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return errors.New("the one that runs is not a Linux program")
	}
	defer f.Close()
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_INTERP {
			return errors.New("the one that runs needs shared libraries")
		}
	}
	return nil
}

// sourceRoot finds the source of this module by the path that the compiler has noted.
func sourceRoot() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", errors.New("the program was built without the path of its source")
	}
	root := filepath.Dir(filepath.Dir(filepath.Dir(file)))
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return "", fmt.Errorf("the source is not there: %w", err)
	}
	return root, nil
}

// writeImage writes the file system of an image that holds the program and
// nothing else, as a tar archive.
func writeImage(w io.Writer, binary string) error {
	f, err := os.Open(binary)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "fairway", Mode: 0o755, Size: info.Size()}); err != nil {
		return err
	}
	if _, err := io.Copy(tw, f); err != nil {
		return err
	}
	return tw.Close()
}
