package deployment_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/fairlead/fairlead/cmd/internal/deployment"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

func TestFlagsHaveTheRulesOfTheFiles(t *testing.T) {
	fixed := &deployv1.EndpointVersion{Replicas: 3, Resources: &deployv1.ReplicaResources{Cpu: 0.5, CpuLimit: 1}}
	byLoad := &deployv1.EndpointVersion{Autoscale: &deployv1.Autoscale{MinReplicas: new(int32(3)), MaxReplicas: 5}}
	tests := map[string]struct {
		flags string
		base  *deployv1.EndpointVersion
		want  []string
	}{
		"zeros": {
			flags: "--tm 0 --mr 0 --rm 0 --ps 0 --id 0 --ts 0 --st 0 --ft 0 --cc 0 --gb 0 --ccl 0 --gbl 0 --gc -1 --nr 0",
			want: []string{
				"--cc must be greater than 0", "--ccl must be greater than 0", "--gb must be greater than 0", "--gbl must be greater than 0",
				"--gc must not be less than 0", "--tm must be greater than 0", "--rm must be greater than 0", "--mr must be greater than 0",
				"--nr must be greater than 0", "--ps must be greater than 0", "--id must be greater than 0", "--ts must be greater than 0",
				"--st must be greater than 0", "--ft must be greater than 0",
			},
		},
		"zeros of the autoscaling, of which the least may be": {
			flags: "--as --mi 0 --ma 0 --ar 0 --at 0",
			want:  []string{"--ma must be greater than 0", "--ar must be greater than 0", "--at must be greater than 0"},
		},
		"too large": {
			flags: "--tm 400000 --at 101 --ma 1001",
			want:  []string{"--tm must not be greater than 300000", "--ma must not be greater than 1000", "--at must not be greater than 100"},
		},
		"no replica of a fixed number": {flags: "--nr 0", base: fixed, want: []string{"--nr must be greater than 0"}},
		"neither by load nor a number": {
			flags: "--as=false", want: []string{"--nr must be given when --as is false: autoscale disabled but numReplicas not provided"},
		},
		"no longer by load, without a number": {
			flags: "--as=false", base: byLoad, want: []string{"--nr must be given when --as is false: autoscale disabled but numReplicas not provided"},
		},
		"a number stays":                  {flags: "--as=false --mi 2", base: fixed},
		"both kinds of authentication":    {flags: "--ae=true --token-auth-enabled=true", want: []string{"--token-auth-enabled --ae and --token-auth-enabled cannot both be true"}},
		"a least above the greatest":      {flags: "--mi 11", want: []string{"--mi must be less than or equal to the greatest number of replicas (10), not 11"}},
		"a greatest below what is there":  {flags: "--ma 2", base: byLoad, want: []string{"--ma must be greater than or equal to the least number of replicas (3), not 2"}},
		"a limit below what is asked":     {flags: "--ccl 0.05 --gbl 0.1", want: []string{"--ccl must be greater than or equal to what a replica asks for (0.1), not 0.05", "--gbl must be greater than or equal to what a replica asks for (0.5), not 0.1"}},
		"asked above the limit there":     {flags: "--cc 2", base: fixed, want: []string{"--cc must be less than or equal to the limit that is there (1), not 2; change both, or give --ccl"}},
		"at the ends of the ranges":       {flags: "--tm 300000 --at 100 --ma 1000 --mi 1000 --id 3600 --gc 0 --cc 1000 --ps 300"},
		"falling asleep":                  {flags: "--mi 0 --ma 1", base: fixed},
		"a number in place of the others": {flags: "--nr 2 --as=false", base: byLoad},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			flags := &deployment.Flags{}
			fs := pflag.NewFlagSet("", pflag.ContinueOnError)
			flags.BindVersion(fs)
			flags.BindEndpoint(fs)
			if err := fs.Parse(strings.Fields(test.flags)); err != nil {
				t.Fatal(err)
			}
			scope := deployment.NewEndpoint
			if test.base != nil {
				scope = deployment.VersionChange
			}
			d, err := deployment.Maker{Parent: "workspaces/default", Scope: scope, Base: test.base}.Make(t.Context(), flags)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range d.Problems() {
				got = append(got, v.Field+" "+v.Description)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}
