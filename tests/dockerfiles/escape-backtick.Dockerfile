# escape=`

FROM mcr.microsoft.com/windows/servercore:ltsc2022 AS download
SHELL ["powershell", "-Command", "$ErrorActionPreference = 'Stop'; $ProgressPreference = 'SilentlyContinue';"]
ARG PY=3.12
RUN Invoke-WebRequest -Uri https://dist.example.org/python.exe -OutFile C:\python.exe ; `
    # between the lines
    Start-Process C:\python.exe -ArgumentList '/quiet' -Wait ; `
    Remove-Item C:\python.exe
FROM mcr.microsoft.com/windows/nanoserver:ltsc2022
COPY --from=download C:\Python\ C:\Python\
ENV PATH="C:\Python;`$HOME;${PATH}"
