package legacyconfig

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Environment is what a script asks of the place where it runs. CondaFile and
// BaseDockerfile are texts.
type Environment struct {
	// Name is empty when the file gives none that can be used.
	Name                          string
	Channels, Conda, Pip          []string
	CondaFile                     string
	InterpreterPath               string
	UserManaged                   bool
	BaseImage, BaseDockerfile     string
	RegistryAddress, RegistryUser string
	ShmSize                       string
	Arguments                     []string
	StackVersion                  string
}

// empty tells whether nothing is asked.
func (e Environment) empty() bool {
	return len(e.Channels)+len(e.Conda)+len(e.Pip)+len(e.Arguments) == 0 && !e.UserManaged &&
		e.CondaFile+e.InterpreterPath+e.BaseImage+e.BaseDockerfile+e.ShmSize+e.StackVersion == ""
}

// inferenceReader reads an inference configuration.
type inferenceReader struct {
	*Result
	files map[string][]byte
	env   Environment
	// registryKey is where the registry is given.
	registryKey string
}

func (r *Result) inference(top section, files map[string][]byte) {
	in := &inferenceReader{Result: r, files: files}
	r.entryScript(top)
	if dir, ok := top.text("sourceDirectory"); ok {
		r.SourceDirectory = dir
	}
	in.olderForm(top)
	in.environment(top)
	top.rest("the key is not known")
	in.registryWithoutImage()
	if !in.env.empty() {
		r.Environment = &in.env
	}
}

// registryWithoutImage names a registry that nothing is pulled from.
func (in *inferenceReader) registryWithoutImage() {
	e := &in.env
	if e.RegistryAddress+e.RegistryUser == "" || e.BaseImage != "" {
		return
	}
	in.ignore(in.registryKey, "it has no effect without baseImage")
	e.RegistryAddress, e.RegistryUser = "", ""
}

// image gives the base image in its registry, which a Dockerfile names with the
// image. Who signs in to it cannot be said there.
func (in *inferenceReader) image() string {
	const usual = "python:3-slim"
	e := &in.env
	if e.BaseImage == "" {
		return usual
	}
	image, registry := e.BaseImage, strings.TrimSuffix(e.RegistryAddress, "/")
	if registry != "" && !strings.HasPrefix(image, registry+"/") {
		image = registry + "/" + image
	}
	if e.RegistryUser != "" {
		in.ignore(in.registryKey+".username", "the image is built from a Dockerfile; sign the place that builds it in to the registry")
	}
	e.RegistryAddress, e.RegistryUser = "", ""
	return image
}

// olderForm reads the keys that describe an environment without an object for it.
func (in *inferenceReader) olderForm(top section) {
	older := []string{"condaFile", "extraDockerfileSteps", "schemaFile", "baseImage", "baseImageRegistry", "cudaVersion"}
	if top.has("environment") {
		for _, key := range older {
			if top.has(key) {
				in.violate(top.name(key), "cannot be given together with environment, which takes its place; use one of them")
			}
		}
	}
	in.runtime(top)
	in.env.CondaFile = in.file(top, "condaFile", "the packages of the compute target are used as they are")
	in.env.BaseImage, _ = top.text("baseImage")
	in.registry(top.section("baseImageRegistry"))
	if steps := in.file(top, "extraDockerfileSteps", "the image has no further steps"); steps != "" {
		in.env.BaseDockerfile, in.env.BaseImage = "FROM "+in.image()+"\n"+steps, ""
	}
	top.ignore("schemaFile", "the schema comes from the script's own declarations")
	if gpu, ok := top.boolean("enableGpu"); ok && gpu {
		in.ignore(top.name("enableGpu"), "the GPUs of a replica are given by gpuCores in the deployment configuration")
	}
	if cuda, ok := top.text("cudaVersion"); ok {
		if !slices.Contains([]string{"9.0", "9.1", "10.0"}, cuda) {
			in.violate(top.name("cudaVersion"), "must be 9.0, 9.1 or 10.0, not "+cuda)
		} else {
			in.ignore(top.name("cudaVersion"), "CUDA is that of the compute target or of the base image")
		}
	}
}

func (in *inferenceReader) runtime(top section) {
	runtime, ok := top.text("runtime")
	switch strings.ToLower(runtime) {
	case "python", "python-slim":
	case "spark-py":
		in.ignore(top.name("runtime"), "Spark is not started for the script; it runs as plain Python")
	default:
		if ok {
			in.violate(top.name("runtime"), "must be python, python-slim or spark-py, not "+runtime)
		}
	}
}

// environment reads the environment object.
func (in *inferenceReader) environment(top section) {
	s := top.section("environment")
	in.variables(s.section("environmentVariables"))
	in.python(s.section("python"))
	in.docker(s.section("docker"))
	if stack, ok := s.text("inferencingStackVersion"); ok {
		if !strings.EqualFold(stack, "latest") {
			in.violate(s.name("inferencingStackVersion"), "must be latest, or left out")
		} else {
			in.env.StackVersion = "latest"
		}
	}
	for _, key := range []string{"spark", "databricks", "r"} {
		s.ignore(key, "only Python scripts are served")
	}
	in.name(s)
	s.rest("it is not used")
}

// name reads the environment's name and version. They refer to a registered
// environment when the object describes none.
func (in *inferenceReader) name(s section) {
	name, _ := s.text("name")
	version, versioned := s.text("version")
	lower := strings.ToLower(name)
	switch {
	case !in.env.empty() && (strings.HasPrefix(lower, "azureml") || strings.HasPrefix(lower, "microsoft")):
		in.ignore(s.name("name"), "names that begin with AzureML or Microsoft are reserved; the environment is registered under the name of the endpoint")
	case !in.env.empty():
		in.env.Name = name
		if versioned {
			in.ignore(s.name("version"), "versions are counted from 1 when an environment is registered")
		}
	case name == "":
	case versioned:
		in.EnvironmentRef = name + ":" + version
	case len(in.Version.Spec.Environment) == 0:
		in.EnvironmentRef = name
	default:
		in.ignore(s.name("name"), "an environment of variables alone is not registered; they are those of the version")
	}
}

func (in *inferenceReader) python(s section) {
	in.env.UserManaged, _ = s.boolean("userManagedDependencies")
	if interpreter, ok := s.text("interpreterPath"); ok && interpreter != "python" {
		if path.IsAbs(interpreter) {
			in.env.InterpreterPath = interpreter
		} else {
			in.ignore(s.name("interpreterPath"), "only an absolute path chooses an interpreter; the compute target chooses one that has what is asked")
		}
	}
	if text := in.file(s, "condaDependenciesFile", "the packages of the compute target are used as they are"); text != "" {
		in.env.CondaFile = text
	}
	s.ignore("baseCondaEnvironment", "a new environment is made from what is asked")
	in.conda(s.section("condaDependencies"))
	s.rest("it is not used")
}

func (in *inferenceReader) conda(s section) {
	in.env.Channels = s.texts("channels")
	in.condaDependencies(s)
	s.take("name") // names the conda environment, which nobody sees
	s.ignore("prefix", "the place of the packages is chosen by the compute target")
	in.variables(s.section("variables"))
	s.rest("it is not used")
}

// condaDependencies reads names of packages, and lists of pip among them.
func (in *inferenceReader) condaDependencies(s section) {
	n, ok := s.take("dependencies")
	if !ok {
		return
	}
	if n.list == nil {
		in.violate(s.name("dependencies"), "must be a list")
		return
	}
	for i, item := range n.list {
		at := fmt.Sprintf("%s[%d]", s.name("dependencies"), i)
		switch {
		case item.empty():
		case item.scalar:
			in.env.Conda = append(in.env.Conda, item.text)
		case item.fields != nil:
			pip := newSection(in.Result, at+".", item)
			in.env.Pip = append(in.env.Pip, pip.texts("pip")...)
			pip.rest("only pip has a list of its own")
		default:
			in.violate(at, "must be the name of a package, or pip with a list")
		}
	}
}

func (in *inferenceReader) docker(s section) {
	image, imageGiven := s.text("baseImage")
	dockerfile, dockerfileGiven := s.text("baseDockerfile")
	if imageGiven && dockerfileGiven {
		in.violate(s.name("baseDockerfile"), "cannot be given together with baseImage; use one of them")
	}
	if imageGiven {
		in.env.BaseImage = image
	}
	switch {
	case !dockerfileGiven:
	case strings.Contains(dockerfile, "\n") || strings.HasPrefix(strings.ToUpper(dockerfile), "FROM "):
		in.env.BaseDockerfile = dockerfile
	default:
		in.env.BaseDockerfile = in.file(s, "baseDockerfile", "no image is built on it")
	}
	in.registry(s.section("baseImageRegistry"))
	in.env.ShmSize, _ = s.text("shmSize")
	in.env.Arguments = s.texts("arguments")
	if on, ok := s.boolean("enabled"); ok && on {
		in.ignore(s.name("enabled"), "whether replicas are containers is a matter of the compute target")
	}
	if on, ok := s.boolean("sharedVolumes"); ok && on {
		in.ignore(s.name("sharedVolumes"), "replicas have their own files; none are shared with other containers")
	}
	s.rest("it is not used")
}

func (in *inferenceReader) registry(s section) {
	if address, ok := s.text("address"); ok {
		in.env.RegistryAddress = address
	}
	if user, ok := s.text("username"); ok {
		in.env.RegistryUser = user
	}
	if in.env.RegistryAddress+in.env.RegistryUser != "" && in.registryKey == "" {
		in.registryKey = strings.TrimSuffix(s.prefix, ".")
	}
	s.ignore("password", "an environment is no place for secrets; sign the nodes or the cluster in to the registry")
	s.rest("it is not used")
}

// file reads a key that names a file, and gives the file's text.
func (in *inferenceReader) file(s section, key, without string) string {
	name, ok := s.text(key)
	if !ok {
		return ""
	}
	text, given := in.files[name]
	switch {
	case !given:
		in.Missing = append(in.Missing, name)
	case text == nil:
		in.ignore(s.name(key), "there is no file "+name+"; "+without)
	}
	return string(text)
}
