package requirement_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/platform/requirement"
)

func version(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string) requirement.Version {
	t.Helper()
	v, err := requirement.ParseVersion(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// ordered is in PEP 440's order.
func ordered() []string {
	return []string{
		"0.9", "1.dev0", "1.0.dev456", "1.0a1", "1.0a2.dev456", "1.0a12.dev456", "1.0a12", "1.0b1.dev456", "1.0b2", "1.0b2.post345.dev456", "1.0b2.post345",
		"1.0rc1.dev456", "1.0rc1", "1.0", "1.0+abc.5", "1.0+abc.7", "1.0+5", "1.0.post456.dev34", "1.0.post456", "1.0.15", "1.1.dev1", "1.1", "1.10", "2024.1", "1!0.1",
	}
}

func TestVersionsAreOrdered(t *testing.T) {
	all := ordered()
	for i, a := range all {
		for j, b := range all {
			got := version(t, a).Compare(version(t, b))
			if want := i - j; (got < 0) != (want < 0) || (got > 0) != (want > 0) {
				t.Errorf("%s and %s compare as %d", a, b, got)
			}
		}
	}
}

func TestWaysToWriteAVersionAreEqual(t *testing.T) {
	for a, b := range map[string]string{
		"1.0": "1", "v1.0.0": "1", "1.0-alpha.1": "1.0a1", "1.0c1": "1.0rc1", "1.0preview2": "1.0rc2", "1.0-5": "1.0.post5", "1.0rev3": "1.0.post3",
		"1.0DEV2": "1.0.dev2", " 1.2 ": "1.2", "1.0+Ubuntu-1": "1.0+ubuntu.1", "1.0a": "1.0a0",
	} {
		if version(t, a).Compare(version(t, b)) != 0 {
			t.Errorf("%s and %s differ", a, b)
		}
	}
	for _, bad := range []string{"", "x", "1.x", "1..2", "1.0+", "1.0 2", "==1", strings.Repeat("1.", 200) + "1"} {
		if v, err := requirement.ParseVersion(bad); err == nil {
			t.Errorf("%q was read as %s", bad, v)
		}
	}
}

func TestSpecifiers(t *testing.T) {
	for spec, versions := range map[string]struct{ yes, no string }{
		"":                {"0 1 2.0a1", ""},
		"==1.2":           {"1.2 1.2.0 1.2+local", "1.2.1 1.2a1 1.20"},
		"==1.2.*":         {"1.2 1.2.9 1.2a1", "1.20 1.3 1"},
		"==1.2+abc":       {"1.2+abc", "1.2 1.2+abd"},
		"!=1.2.*":         {"1.3 1.1", "1.2 1.2.5"},
		">=1.2,<2":        {"1.2 1.9.9 1.2.post1", "1.1 2 2.0a1 2.0rc1"},
		"<2.0rc1":         {"2.0a1 1.9", "2.0rc1 2.0"},
		">1.7":            {"1.7.1 1.8", "1.7 1.7.post2 1.7+local"},
		">1.7.post2":      {"1.7.post3 1.7.1", "1.7.post2 1.7"},
		"<=1.5":           {"1.5 1.5+local 1.4", "1.5.1"},
		"~=1.4.2":         {"1.4.2 1.4.9 1.4.5a1", "1.5 1.4.1 2"},
		"~=1.4":           {"1.4 1.9", "2.0 1.3"},
		"~=1.4.5a4":       {"1.4.5a4 1.4.5 1.4.9", "1.5 1.4.5a3"},
		"===1.0":          {"1.0", "1 1.0.0"},
		">= 1.2 , != 1.3": {"1.2 1.4", "1.3 1.1"},
	} {
		s, err := requirement.ParseSpecifiers(spec)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		for _, v := range strings.Fields(versions.yes) {
			if !s.Allow(version(t, v)) {
				t.Errorf("%s must allow %s", spec, v)
			}
		}
		for _, v := range strings.Fields(versions.no) {
			if s.Allow(version(t, v)) {
				t.Errorf("%s must not allow %s", spec, v)
			}
		}
	}
	for spec, want := range map[string]string{
		"=1.2": "not with =", "1.2": "must begin with", ">=": "needs a version", ">=1.*": "with == and != only", "~=1": "two parts", "==x": "not a version", ">=1+abc": "local version",
	} {
		if _, err := requirement.ParseSpecifiers(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
}

func TestRequirements(t *testing.T) {
	for text, want := range map[string]string{
		"numpy":                                   "numpy",
		" scikit-learn >= 1.2 , < 2 ":             "scikit-learn>=1.2,<2",
		"requests[security, tests] (>=2.8.1)":     "requests[security,tests]>=2.8.1",
		"pkg @ https://host/pkg-1.whl#sha256=abc": "pkg @ https://host/pkg-1.whl#sha256=abc",
		"pywin32>=1; sys_platform == 'win32'":     "pywin32>=1; sys_platform == 'win32'",
		"a.b_c==1.0":                              "a.b_c==1.0",
		"x[]":                                     "x",
	} {
		got, err := requirement.Parse(text)
		if err != nil || got.String() != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "empty", "=1": "name of a package", "numpy 1.2": "versions follow", "numpy=1.2": "not with =", "a[b": "not closed", "a[b!]": "name of an extra",
		"a (>=1": "not closed", "a; x == 1": "neither a variable", "a @ ": "not a URL", "a; '1' == '2'": "must be a variable", "a; (os_name == 'x'": "not closed",
	} {
		if got, err := requirement.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	if requirement.Key("Foo_.-Bar") != "foo-bar" {
		t.Errorf("key %s", requirement.Key("Foo_.-Bar"))
	}
}

func TestMarkers(t *testing.T) {
	values := map[string]string{"python_version": "3.11", "sys_platform": "linux", "platform_machine": "x86_64", "os_name": "posix"}
	for text, want := range map[string]bool{
		"":                        false, // checked below: it cannot be read
		"python_version >= '3.9'": true,
		"python_version < '3.9'":  false,
		"'3.9' < python_version":  true,
		"sys_platform == 'win32' or python_version ~= '3.10'":                       true,
		"sys_platform == 'win32' and python_version >= '3' or os_name == 'posix'":   true,
		"sys_platform == 'win32' and (python_version >= '3' or os_name == 'posix')": false,
		"'linux' in sys_platform":            true,
		"sys_platform not in 'win32 cygwin'": true,
		"extra == 'test'":                    false,
		"platform.machine == 'x86_64' and python_implementation != 'PyPy'": true,
	} {
		m, err := requirement.ParseMarker(text)
		if text == "" {
			if err == nil {
				t.Error("an empty marker was read")
			}
			continue
		}
		if err != nil || m.Holds(values) != want {
			t.Errorf("%s: %v, %v", text, m.Holds(values), err)
		}
	}
	if !(requirement.Marker{}).Holds(nil) {
		t.Error("no marker must hold everywhere")
	}
}

func TestConda(t *testing.T) {
	for text, versions := range map[string]struct{ yes, no string }{
		"numpy":                           {"1 2", ""},
		"numpy *":                         {"1 2", ""},
		"numpy=1.24":                      {"1.24 1.24.9", "1.25 1.2 1.240"},
		"numpy=1.24.*":                    {"1.24 1.24.9", "1.25"},
		"numpy==1.24":                     {"1.24 1.24.0", "1.24.1"},
		"numpy 1.24.1":                    {"1.24.1", "1.24.2"},
		"numpy 1.24*":                     {"1.24.1", "1.25"},
		"numpy>=1.2,<2":                   {"1.2 1.9", "2 1.1"},
		"numpy >=1.2, <2":                 {"1.2 1.9", "2 1.1"},
		"numpy 1.7|1.8*":                  {"1.7 1.8.3", "1.7.1 1.9"},
		"conda-forge::numpy=1.24=py311_0": {"1.24", "1.24.1"},
		"numpy=1.24.*=*_cpu":              {"1.24.3", "1.25"},
		"numpy 1.24.1 py311_0":            {"1.24.1", "1.24"},
		"numpy!=1.24.*":                   {"1.25", "1.24.1"},
		"numpy>=1.24.*":                   {"1.24 2", "1.23"},
		"numpy~=1.4":                      {"1.5", "2"},
	} {
		c, err := requirement.ParseConda(text)
		if err != nil || c.Name != "numpy" || c.String() != text {
			t.Errorf("%q: %+v, %v", text, c, err)
			continue
		}
		for _, v := range strings.Fields(versions.yes) {
			if !c.Allows(version(t, v)) {
				t.Errorf("%q must allow %s", text, v)
			}
		}
		for _, v := range strings.Fields(versions.no) {
			if c.Allows(version(t, v)) {
				t.Errorf("%q must not allow %s", text, v)
			}
		}
	}
	for text, want := range map[string]string{
		"": "empty", "::numpy": "channel", "=1.2": "name of a package", "numpy=": "needs a version", "numpy==x.y": "not a version", "numpy[version='1']": "brackets",
	} {
		if c, err := requirement.ParseConda(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %q", text, c, err, want)
		}
	}
}

func TestFiles(t *testing.T) {
	text := "\ufeff# a file\r\nnumpy>=1.0  # comment\r\n\r\n--extra-index-url https://host/simple\nscikit-learn \\\n  >=1.2\npkg==1 --hash=sha256:abc\n-r other.txt\n-e .\n-cconstraints.txt\nnot valid!\nurl @ https://h/x#egg=1\nlast \\"
	var got []string
	for _, l := range requirement.ParseFile(text) {
		line := l.Text
		if l.Problem != nil {
			line += " !"
		}
		got = append(got, string(rune('a'+l.Number-1))+" "+line)
	}
	want := []string{"b numpy>=1.0", "d --extra-index-url https://host/simple", "e scikit-learn   >=1.2", "g pkg==1", "h -r other.txt !", "i -e . !", "j -cconstraints.txt !", "k not valid! !", "l url @ https://h/x#egg=1", "m last"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOrderIsTotal(t *testing.T) {
	part := rapid.SampledFrom([]string{"0", "1", "2", "10"})
	draw := rapid.Custom(func(t *rapid.T) string {
		text := part.Draw(t, "major") + "." + part.Draw(t, "minor")
		for _, suffix := range []string{"a", ".post", ".dev", "+"} {
			if rapid.Bool().Draw(t, suffix) {
				text += suffix + part.Draw(t, "number")
			}
		}
		return text
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := version(t, draw.Draw(t, "a")), version(t, draw.Draw(t, "b")), version(t, draw.Draw(t, "c"))
		if a.Compare(b) != -b.Compare(a) {
			t.Fatalf("%s and %s: %d and %d", a, b, a.Compare(b), b.Compare(a))
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatalf("%s, %s, %s are in no order", a, b, c)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"numpy>=1,<2; python_version >= '3'", "a[b,c] (==1.*)", "p @ https://h ; os_name == 'x'", "x===1", "a;((((", "numpy=1.2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := requirement.Parse(text)
		if err != nil {
			return
		}
		again, err := requirement.Parse(r.String())
		if err != nil || again.String() != r.String() {
			t.Errorf("%q is written as %q, which reads as %q, %v", text, r, again, err)
		}
		r.Marker.Holds(map[string]string{"python_version": "3.11"})
		if v, err := requirement.ParseVersion("1.2.3"); err == nil {
			r.Versions.Allow(v)
		}
	})
}

func FuzzParseConda(f *testing.F) {
	for _, seed := range []string{"numpy=1.24", "c::numpy>=1,<2|3.*", "numpy 1.2 py_0", "numpy=1=b", "a *"} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		c, err := requirement.ParseConda(text)
		if v, versionErr := requirement.ParseVersion("1.2.3"); err == nil && versionErr == nil {
			c.Allows(v)
		}
	})
}

func FuzzParseFile(f *testing.F) {
	f.Add("numpy>=1 \\\n # c\n-r x\n--pre")
	f.Fuzz(func(t *testing.T, text string) {
		for _, l := range requirement.ParseFile(text) {
			if l.Text == "" || l.Number < 1 || strings.ContainsAny(l.Text, "\n") {
				t.Errorf("%+v", l)
			}
		}
	})
}
