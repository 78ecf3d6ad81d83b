package gate_test

import (
	"testing"

	"github.com/fairlead/fairlead/scorer/internal/gate"
)

func TestGate(t *testing.T) {
	g := gate.New()
	if !g.Enter() || g.IsShut() {
		t.Fatal("an open gate must let in")
	}
	empty := g.Close()
	if g.Enter() || !g.IsShut() {
		t.Error("a closed gate must not let in")
	}
	select {
	case <-empty:
		t.Error("empty with one inside")
	default:
	}
	g.Leave()
	<-empty
	<-g.Close()
}
