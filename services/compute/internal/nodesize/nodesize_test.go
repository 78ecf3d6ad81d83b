package nodesize_test

import (
	"strings"
	"testing"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/compute/internal/nodesize"
)

func TestFind(t *testing.T) {
	tests := []struct {
		name, id, want, amount, gpu string
	}{
		{"the default", nodesize.Default, "Standard_D3_v2", "4 vCPU, 14 GB", ""},
		{"any case", "standard_d3_V2", "Standard_D3_v2", "4 vCPU, 14 GB", ""},
		{"with a GPU", "Standard_NC6", "Standard_NC6", "6 vCPU, 56 GB, 1 GPU", "NVIDIA Tesla K80"},
		{"half a gigabyte", "Standard_D1_v2", "Standard_D1_v2", "1 vCPU, 3.5 GB", ""},
		{"several GPUs", "standard_nc24s_v3", "Standard_NC24s_v3", "24 vCPU, 448 GB, 4 GPUs", "NVIDIA Tesla V100"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := nodesize.Find("node_size", tt.id)
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != tt.want || got.Capacity.String() != tt.amount || got.GPUModel != tt.gpu {
				t.Errorf("got %s: %s, %q", got.ID, got.Capacity, got.GPUModel)
			}
		})
	}
}

func TestUnknownSizeIsAnsweredWithNearOnes(t *testing.T) {
	for id, want := range map[string]string{"D3_v2": "Standard_D3_v2", "Standard_D3v2": "Standard_D3_v2", "Standard_NC6sv3": "Standard_NC6s_v3", "": "Standard_"} {
		_, err := nodesize.Find("node_size", id)
		if apierr.KindOf(err) != apierr.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("Find(%q) = %v, want a mention of %s", id, err, want)
		}
	}
}

func TestCatalogueIsSortedAndWithoutDoubles(t *testing.T) {
	all := nodesize.All()
	for i, s := range all {
		if i > 0 && strings.EqualFold(all[i-1].ID, s.ID) {
			t.Errorf("%s is there twice", s.ID)
		}
		if i > 0 && all[i-1].ID >= s.ID {
			t.Errorf("%s stands after %s", s.ID, all[i-1].ID)
		}
		if (s.Capacity.GPUs > 0) != (s.GPUModel != "") || s.Capacity.MilliCPU <= 0 || s.Capacity.MemoryBytes <= 0 {
			t.Errorf("%+v is not whole", s)
		}
	}
}
