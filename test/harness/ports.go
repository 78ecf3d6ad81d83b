package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports are taken from below the range from which the system gives ports by
// itself, so that no scorer gets the port of a process that is restarted.
const (
	firstPort = 20000
	lastPort  = 31000
)

// freeAddress gives a loopback address that nobody listens on.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort))
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			tb.Fatal(err)
		}
		return address
	}
	tb.Fatal("there is no free port")
	return ""
}
