# The course in a container: `docker build -t finetuning .`, then `docker run --rm -it -p 8888:8888 finetuning` and open the address
# that it prints. The learner's copies lie in /home/learner/work: `-v my-work:/home/learner/work` keeps them.
# About 5 GB; the build needs the network and a quarter of an hour on two cores, the container needs neither network nor GPU.

# What the README asks for: Rust, with the C compiler that it links with, and Python 3.
FROM rust:1.95-slim-bookworm AS tools
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 learner
USER learner
ENV CARGO_HOME=/home/learner/.cargo

# The course, set up. mybinder.org and a JupyterHub start a server of their own in it, as the user 1000, with what PATH offers.
FROM tools AS course
COPY --chown=learner:learner . /home/learner/finetuning
WORKDIR /home/learner/finetuning
ENV FINETUNING_WORK=/home/learner/work PATH=/home/learner/finetuning/.lab/venv/bin:$PATH
RUN cargo lab setup \
    && .lab/venv/bin/pip install --no-cache-dir "jupyterhub>=5,<6" \
    && cargo lab kernel install --prefix .lab/venv
EXPOSE 8888
CMD ["cargo", "lab", "--no-browser", "--host", "0.0.0.0", "--port", "8888"]
