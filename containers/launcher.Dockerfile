# What a Dataflow flex template starts: the driver. Built upon the worker's image, so that both are
# of the same code:
#   docker build -f containers/launcher.Dockerfile --build-arg WORKER=speechloom-cpu:0.1.0 \
#     --build-arg LAUNCHER=… -t speechloom-launcher:0.1.0 .
# LAUNCHER is Google's image python311-template-launcher-base, by a tag with a date.
ARG WORKER=speechloom-cpu:0.1.0
ARG LAUNCHER
FROM ${LAUNCHER} AS launcher

FROM ${WORKER}
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/
COPY pipeline/runners/flex.py /home/loom/flex.py
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/home/loom/flex.py
USER 10001:10001
ENTRYPOINT ["/opt/google/dataflow/python_template_launcher"]
