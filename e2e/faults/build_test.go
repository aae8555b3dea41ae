//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// buildOverlay builds the program with edits, as dir/name. It may be called by
// several goroutines at once, with different names.
func buildOverlay(ctx context.Context, dir, name string, edits []edit) (binary string, err error) {
	files, err := overlayFiles(ctx, edits)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	sources := filepath.Join(dir, name+".overlay")
	if err := os.MkdirAll(sources, 0o700); err != nil {
		return "", err
	}
	replace := map[string]string{}
	for path, text := range files {
		to := filepath.Join(sources, fmt.Sprintf("%d-%s", len(replace), filepath.Base(path)))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[path] = to
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(sources, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return "", err
	}
	binary = filepath.Join(dir, name)
	if out, err := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", binary, "sponge/cmd/sponge").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return binary, nil
}
