# The app without PyTorch, for any host that runs containers: see docs/DEPLOYMENT.md.
#
#   docker build -t show-attend-tell . && docker run -p 8501:8501 show-attend-tell
#
# It answers to localhost alone; name the hosts that people see it under:
#   docker run -p 80:8501 -e STREAMLIT_SERVER_ALLOWED_HOSTS="captions.example.org" show-attend-tell
FROM python:3.11-slim

WORKDIR /app
# First, so that they are installed again only when they change.
COPY requirements-app.txt ./
RUN pip install --no-cache-dir -r requirements-app.txt

COPY app.py ./
COPY .streamlit ./.streamlit
COPY captioning ./captioning
COPY checkpoints ./checkpoints
RUN python -m compileall -q captioning

# Nothing that it installed is its own to change; /tmp holds what its libraries keep.
USER 1000:1000
ENV HOME=/tmp
ENV STREAMLIT_SERVER_ADDRESS=0.0.0.0
ENV STREAMLIT_SERVER_PORT=8501
ENV STREAMLIT_SERVER_HEADLESS=true
EXPOSE 8501
HEALTHCHECK CMD python -c "import os, urllib.request as web; web.urlopen(f'http://localhost:{os.environ[\"STREAMLIT_SERVER_PORT\"]}/_stcore/health', timeout=3)"
CMD ["streamlit", "run", "app.py"]
