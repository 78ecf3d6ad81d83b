package resource_test

import (
	"testing"

	"github.com/fairlead/fairlead/services/compute/internal/resource"
)

func TestSumsOfSmallRequestsAreExact(t *testing.T) {
	var sum resource.Amount
	for range 40 {
		sum = sum.Plus(resource.Of(0.1, 0, 0))
	}
	if !sum.Fits(resource.Of(4, 0, 0)) || sum.VCPU() != 4 {
		t.Errorf("40 × 0.1 is %g", sum.VCPU())
	}
}

func TestString(t *testing.T) {
	for want, a := range map[string]resource.Amount{
		"0.1 vCPU, 0.5 GB":        resource.Of(0.1, 1<<29, 0),
		"6 vCPU, 56 GB, 1 GPU":    resource.Of(6, 56<<30, 1),
		"24 vCPU, 224 GB, 4 GPUs": resource.Of(24, 224<<30, 4),
	} {
		if got := a.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
