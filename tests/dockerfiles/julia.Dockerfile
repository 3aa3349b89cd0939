FROM julia:1.11-bookworm AS depot
ENV JULIA_DEPOT_PATH=/opt/julia
ENV JULIA_CPU_TARGET="generic;sandybridge,-xsaveopt,clone_all;haswell,-rdrnd,base(1)"
COPY Project.toml Manifest.toml /opt/env/
RUN julia --project=/opt/env -e 'using Pkg; Pkg.instantiate(); Pkg.precompile()' \
 && find /opt/julia -name '*.ji' -exec touch -d @0 {} \;

FROM julia:1.11-bookworm
COPY --from=depot /opt /opt
ENV JULIA_DEPOT_PATH=/opt/julia:
