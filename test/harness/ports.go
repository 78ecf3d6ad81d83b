package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports are taken in blocks from below the range from which the system gives ports
// by itself, so that no scorer gets the port of a process that is restarted.
const (
	firstPort = 20000
	lastPort  = 31990
	blockSize = 10
)

// takeAddresses gives loopback addresses that nobody listens on. Listening on the
// first port of their block keeps other tests from it until this one ends.
func takeAddresses(tb testing.TB, n int) []string {
	tb.Helper()
	for range 1000 {
		base := firstPort + blockSize*rand.IntN((lastPort-firstPort)/blockSize)
		guard, err := net.Listen("tcp", loopback(base))
		if err != nil {
			continue
		}
		if !allFree(base+1, n) {
			_ = guard.Close()
			continue
		}
		tb.Cleanup(func() { _ = guard.Close() })
		addresses := make([]string, n)
		for i := range addresses {
			addresses[i] = loopback(base + 1 + i)
		}
		return addresses
	}
	tb.Fatal("there are no free ports")
	return nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func allFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			return false
		}
		_ = listener.Close()
	}
	return true
}
