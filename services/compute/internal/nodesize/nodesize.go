// Package nodesize is the catalogue of node sizes that a compute target can
// declare: the sizes that users of Azure clusters know. It is pure and safe
// for concurrent use.
package nodesize

import (
	"slices"
	"sort"
	"strings"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/compute/internal/resource"
)

// Default is the size of a target that names none.
const Default = "Standard_D3_v2"

// nearest is how many names an unknown size is answered with.
const nearest = 5

// Size is a kind of node.
type Size struct {
	ID       string
	Capacity resource.Amount
	GPUModel string // empty without GPUs
}

// Find looks a size up, whatever the case of its letters. An unknown one is an
// *apierr.Error of kind InvalidArgument that names those most like it.
func Find(field, id string) (Size, error) {
	all := All()
	for _, s := range all {
		if strings.EqualFold(s.ID, id) {
			return s, nil
		}
	}
	return Size{}, apierr.Invalid(apierr.Violation{
		Field:       field,
		Description: "no node size is called \"" + id + "\"; near it are " + strings.Join(near(all, id), ", ") + " (all: fairlead computetarget sizes)",
	})
}

// All gives every size by id.
func All() []Size {
	var out []Size
	for _, f := range families() {
		for _, m := range f.members {
			out = append(out, Size{ID: m.id, Capacity: resource.Of(m.vcpu, int64(m.memoryGB*(1<<30)), m.gpus), GPUModel: f.gpu})
		}
	}
	slices.SortFunc(out, func(a, b Size) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func near(all []Size, id string) []string {
	type scored struct {
		id       string
		distance int
	}
	wanted := bare(id)
	found := make([]scored, 0, len(all))
	for _, s := range all {
		found = append(found, scored{id: s.ID, distance: distance(wanted, bare(s.ID))})
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].distance < found[j].distance })
	var out []string
	for _, s := range found[:min(nearest, len(found))] {
		out = append(out, s.id)
	}
	return out
}

// bare leaves what tells sizes apart.
func bare(id string) string {
	return strings.NewReplacer("standard_", "", "_", "", "-", "", " ", "").Replace(strings.ToLower(id))
}

// distance is the number of single-letter edits between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}
