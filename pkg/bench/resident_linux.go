package bench

import (
	"fmt"
	"os"
	"strings"
)

// resident is a process's resident memory in bytes.
func resident(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	_, rest, _ := strings.Cut(string(status), "\nVmRSS:")
	var kilobytes int64
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		return 0, fmt.Errorf("memory of process %d: no VmRSS: %w", pid, err)
	}
	return kilobytes << 10, nil
}
