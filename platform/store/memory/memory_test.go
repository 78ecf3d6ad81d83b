package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/store/memory"
	"github.com/fairlead/fairlead/platform/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Subject {
		s := memory.New()
		return storetest.Subject{Store: s, Published: func(*testing.T, int) []events.Event { return s.Events() }}
	})
}
