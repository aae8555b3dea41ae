package local

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// socketMax is the longest path that a unix socket address takes on every
// system: 104 bytes on macOS and the BSDs, 108 on Linux, one of them a zero.
const socketMax = 103

// socketPath returns where the service in dir puts the socket with this name,
// with any stale one removed: in dir itself, or when that path is too long or
// cannot be written as an address, in a private folder below the system's
// temporary one. The caller holds the lock on dir.
func socketPath(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	if !fitsAddress(path) {
		sum := sha256.Sum256([]byte(dir))
		base := fmt.Sprintf("sponge-%d-%s", os.Getuid(), hex.EncodeToString(sum[:8]))
		path = filepath.Join(os.TempDir(), base, name)
		if !fitsAddress(path) {
			path = filepath.Join("/tmp", base, name)
		}
		if err := privateDir(filepath.Dir(path)); err != nil {
			return "", err
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("remove stale socket: %w", err)
	}
	return path, nil
}

// removeSocket removes what socketPath made room for: the socket, and its
// folder if that is not dir. An empty path is none.
func removeSocket(path, dir string) {
	if path == "" {
		return
	}
	_ = os.Remove(path) // the server has mostly done so itself
	if parent := filepath.Dir(path); parent != dir {
		_ = os.Remove(parent)
	}
}

// fitsAddress reports whether a socket's path can be given to the servers and
// written in the addresses of their client libraries.
func fitsAddress(path string) bool {
	return len(path) <= socketMax && !strings.ContainsAny(path, "()@?#%\n")
}

// privateDir makes a folder that only this user can enter. One that exists
// must be such a folder: others may write to the system's temporary one.
func privateDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Getuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is not a private folder of this user: remove it", dir)
	}
	return nil
}
